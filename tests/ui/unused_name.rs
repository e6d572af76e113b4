fn main() {
    rollway::info!("{}", 1, name = 2);
    rollway::info!("{a}", a = 1, a = 2);
    rollway::info!("{a} {}", a = 1, 2);
}
