fn main() {
    rollway::info!("{} and {}", 1);
    rollway::info!("{3}", 1, 2);
    rollway::info!("{:.*}", 1);
}
