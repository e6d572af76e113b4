fn main() {
    rollway::info!("{}", 1, 2 + 3);
    rollway::info!("nothing", "spare");
}
