fn main() {
    rollway::info!(list = vec![1, 2]; "text");
}
