fn main() {
    rollway::info!("{missing}");
    rollway::info!(missing; "text");
}
