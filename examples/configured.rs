//! A program that takes everything from a configuration file, but for one place: where its files go.
//!
//! `cargo run --example configured --features config -- examples/service.toml DIR`

use std::path::PathBuf;

use rollway::config::{Config, Sources};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args_os().skip(1);
    let file = arguments.next().map_or_else(|| "examples/service.toml".into(), PathBuf::from);
    let dir = arguments.next().map_or_else(std::env::temp_dir, PathBuf::from);
    let path = |name: &str| dir.join(name).to_string_lossy().into_owned();

    let sources = Sources::new()
        .file(file)
        .environment()
        .flag("DIR", "journal.dir", path("journal"))
        .flag("DIR", "appenders.file.path", path("shop.log"))
        .flag("DIR", "appenders.audit.path", path("audit.jsonl"));
    let _guard = Config::load(&sources)?.builder()?.init()?;

    rollway::info!(target: "shop::till", "sold {} apples", 3);
    rollway::warn!(target: "shop::till", till = 2; "the drawer is open");
    Ok(())
}
