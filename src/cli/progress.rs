//! What is going on, on standard error: a bar on a terminal, lines elsewhere.

use std::cell::RefCell;
use std::io::{self, IsTerminal, Write};

use indicatif::{ProgressBar, ProgressStyle};

/// Of one command. Dropped, it takes its bar away.
pub(super) struct Progress<'a> {
    command: &'static str,
    bar: Option<ProgressBar>,
    err: RefCell<&'a mut dyn Write>,
}

impl<'a> Progress<'a> {
    /// The bar follows `template` of indicatif and is full at `length`.
    pub(super) fn new(
        command: &'static str,
        template: &str,
        length: u64,
        err: &'a mut dyn Write,
    ) -> Progress<'a> {
        let bar = io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::new(length);
            let style = ProgressStyle::with_template(template);
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Progress { command, bar, err: RefCell::new(err) }
    }

    pub(super) fn say(&self, what: &str) {
        let command = self.command;
        match &self.bar {
            Some(bar) => bar.println(format!("{command}: {what}")),
            // Without a standard error there is nobody to tell.
            None => drop(writeln!(self.err.borrow_mut(), "{command}: {what}")),
        }
    }

    pub(super) fn show(&self, position: u64) {
        if let Some(bar) = &self.bar {
            bar.set_position(position);
        }
    }
}

impl Drop for Progress<'_> {
    fn drop(&mut self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
