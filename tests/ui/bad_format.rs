fn main() {
    rollway::info!("{:y}", 1);
    rollway::info!("open {", 1);
    rollway::info!("close }", 1);
    rollway::info!("{a.b}");
    rollway::info!("{:>5>}", 1);
    rollway::info!("{r#type}");
    rollway::info!("{:70000}", 1);
    rollway::info!("{:1$}", 1, "wide");
}
