//! From a configuration to the process's logger.

use std::path::{Path, PathBuf};

use super::{Config, ConfigError, Sources};
use crate::engine::{self, Builder, Guard, InitError};

/// The variable that names the configuration file of [`init`].
const VARIABLE: &str = "ROLLWAY_CONFIG";

/// Starts the process's logger as the file says that the environment variable `ROLLWAY_CONFIG`
/// names. Without that variable: coloured text on standard error where that is a terminal, and the
/// level from `ROLLWAY_LOG` or, without it, `RUST_LOG`, else info.
///
/// # Errors
/// [`InitError`], for instance when the process has a logger already, or the file is wrong.
///
/// # Examples
/// ```
/// let _guard = rollway::init()?;
/// rollway::info!("ready in {} ms", 12);
/// # Ok::<(), rollway::InitError>(())
/// ```
pub fn init() -> Result<Guard, InitError> {
    match std::env::var_os(VARIABLE).filter(|path| !path.is_empty()) {
        Some(path) => init_from(PathBuf::from(path)),
        None => engine::init(),
    }
}

/// Starts the process's logger as a configuration file says: TOML, or JSON where its name ends in
/// `.json`. The environment is laid on top of it, see [`Sources`]. The same sources are read again
/// at every reload: by [`Logger::reload_from_source`](crate::Logger::reload_from_source), the control
/// socket, SIGHUP (with the key `signals`) and changed files (with the key `reload_every`).
///
/// # Errors
/// [`InitError::Configuration`] when the file is wrong, with everything that is wrong with it; else as
/// [`Builder::init`](crate::Builder::init).
///
/// # Examples
/// ```no_run
/// let _guard = rollway::init_from("rollway.toml")?;
/// rollway::info!("open for business");
/// # Ok::<(), rollway::InitError>(())
/// ```
pub fn init_from(path: impl AsRef<Path>) -> Result<Guard, InitError> {
    let wrong = |error: ConfigError| InitError::Configuration(Box::new(error));
    let sources = Sources::new().file(path.as_ref()).environment();
    let builder = described(&sources).map_err(wrong)?;
    builder.reload_from(move || described(&sources)).init()
}

fn described(sources: &Sources) -> Result<Builder, ConfigError> {
    Config::load(sources)?.builder()
}
