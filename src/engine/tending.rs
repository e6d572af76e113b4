//! How what runs is tended: from where its configuration comes, and who may ask for what.

use std::error::Error;
use std::io;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Weak};
use std::time::{Duration, Instant};

use super::builder::Builder;
use super::control::{Control, ControlSocket, Controlled};
use super::reload::Source;
use super::selflog;
use super::signals::{self, Listening, Signalled};
use super::watch::Watch;

/// What a builder says of it. `B` is the builder.
pub(crate) struct Tending<B> {
    pub(crate) source: Option<Source<B>>,
    pub(crate) watched: Vec<PathBuf>,
    pub(crate) watch_every: Duration,
    pub(crate) control: Option<Control>,
    pub(crate) listens: bool,
    /// What a configuration says of it, by its keys: that stays as it was at the start.
    pub(crate) said: Vec<(&'static str, String)>,
}

/// Who waits for somebody to ask for something.
#[derive(Default)]
pub(crate) struct Tended {
    control: Option<ControlSocket>,
    watch: Option<Watch>,
    signals: Option<Listening>,
}

/// Why nobody can ask.
pub(crate) enum TendError {
    /// The control socket cannot be opened at the place that was named.
    Control { path: PathBuf, source: io::Error },
    /// The system gives no thread or handler.
    Resources { what: &'static str, source: io::Error },
}

impl<B> Default for Tending<B> {
    fn default() -> Tending<B> {
        let (watched, watch_every) = (Vec::new(), Duration::ZERO);
        let (source, control, said) = (None, None, Vec::new());
        Tending { source, watched, watch_every, control, listens: false, said }
    }
}

impl<B> Clone for Tending<B> {
    fn clone(&self) -> Tending<B> {
        Tending {
            source: self.source.clone(),
            watched: self.watched.clone(),
            watch_every: self.watch_every,
            control: self.control.clone(),
            listens: self.listens,
            said: self.said.clone(),
        }
    }
}

impl<B> Tending<B> {
    /// The first key of which another configuration says something else. A description in code says
    /// nothing.
    pub(crate) fn differs_in(&self, other: &Tending<B>) -> Option<&'static str> {
        let said = self.said.iter().zip(&other.said);
        said.into_iter().find(|(old, new)| old != new).map(|(old, _)| old.0)
    }

    /// Begins to wait for whoever asks `running` for something.
    ///
    /// # Errors
    /// What could not be opened.
    pub(crate) fn begin<T: Controlled + Signalled + 'static>(
        &self,
        running: &Arc<T>,
        service: &str,
        journal_dir: Option<&Path>,
    ) -> Result<Tended, TendError> {
        let resource = |what| move |source| TendError::Resources { what, source };
        let mut tended = Tended::default();
        if let Some(control) = &self.control {
            let controlled: Weak<dyn Controlled> = Arc::downgrade(running) as _;
            let opened = ControlSocket::open(control, service, journal_dir, controlled);
            match opened {
                Ok(opened) => tended.control = Some(opened),
                Err((path, source)) if control.is_named() => {
                    return Err(TendError::Control { path, source });
                }
                Err((path, source)) => {
                    let path = path.display();
                    selflog::warn(&format!("there is no control socket `{path}`: {source}"));
                }
            }
        }
        if self.listens {
            let signalled: Weak<dyn Signalled> = Arc::downgrade(running) as _;
            let listening = signals::listen(signalled);
            tended.signals = Some(listening.map_err(resource("what listens for signals"))?);
        }
        if !self.watched.is_empty() {
            let running = Arc::downgrade(running);
            let changed = move || running.upgrade().map(|running| running.on_reload()).is_some();
            let watch = Watch::start(self.watched.clone(), self.watch_every, changed);
            tended.watch = Some(watch.map_err(resource("the thread that watches files"))?);
        }
        Ok(tended)
    }
}

impl Tended {
    /// Waits no more. What was asked for and is under way is waited for until `deadline`.
    pub(crate) fn end(self, deadline: Instant) {
        self.control.into_iter().for_each(|control| control.end(deadline));
        self.watch.into_iter().for_each(|watch| watch.end(deadline));
        drop(self.signals);
    }
}

impl Builder {
    /// Where a configuration comes from while the program runs: whoever asks for a reload has
    /// `source` make it. By default there is none.
    ///
    /// `source` runs on a thread of rollway's own, or on that which calls
    /// [`reload_from_source`](crate::Logger::reload_from_source). What its builder says of tending
    /// (this, the control socket, signals, watched files) counts for nothing: that stays as it was
    /// at the start. Where two configurations say different things of it, the reload is refused.
    pub fn reload_from<E: Into<Box<dyn Error + Send + Sync>>>(
        mut self,
        source: impl Fn() -> Result<Builder, E> + Send + Sync + 'static,
    ) -> Builder {
        self.tending.source = Some(Arc::new(move || source().map_err(Into::into)));
        self
    }

    /// Looks at these files and directories every so often (10 ms at least) and asks for a reload when
    /// one has changed, come or gone, and has stayed as it is until the next look. Needs
    /// [`Builder::reload_from`]. By default nothing is watched.
    pub fn reload_on_change<P: Into<PathBuf>>(
        mut self,
        paths: impl IntoIterator<Item = P>,
        every: Duration,
    ) -> Builder {
        self.tending.watched = paths.into_iter().map(Into::into).collect();
        self.tending.watch_every = every;
        self
    }

    /// Opens a socket at which `rollway ctl` and others can ask and tell the process things:
    /// `docs/control.md` has its protocol. By default there is none.
    pub fn control(mut self, control: Control) -> Builder {
        self.tending.control = Some(control);
        self
    }

    /// Whether SIGHUP reloads and then has the appenders reopen, and SIGUSR1 has them reopen; not so by
    /// default, and the signals do what they do without rollway.
    ///
    /// A handler of the host that was there before runs as well. After the shutdown of the last engine
    /// that listens, all is as it was before, but where the host has installed another handler
    /// meanwhile, which stays.
    pub fn signals(mut self, listens: bool) -> Builder {
        self.tending.listens = listens;
        self
    }
}
