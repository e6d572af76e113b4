fn main() {
    rollway::info!(key:serde = 1; "text");
    rollway::info!(key:sval = 1; "text");
    rollway::info!(key: = 1; "text");
    rollway::info!("key"; "text");
    rollway::info!(1 = 2; "text");
    rollway::info!(a = 1 b = 2; "text");
    rollway::info!(target: "a", target: "b", "text");
}
