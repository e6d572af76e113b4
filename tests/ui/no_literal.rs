fn main() {
    let text = "text";
    rollway::info!(text);
    rollway::info!(text, 1);
    rollway::info!(format!("{}", 1));
    rollway::info!(b"bytes");
    rollway::info!();
    rollway::info!(target: "x");
    rollway::log!(rollway::Level::INFO);
    rollway::info!("text" 1);
}
