//! The smallest program that logs.

fn main() -> Result<(), rollway::InitError> {
    let _guard = rollway::init()?;
    rollway::info!("hello from {}", "rollway");
    rollway::warn!(attempt = 3, delay_ms = 250; "connection lost, trying again");
    Ok(())
}
