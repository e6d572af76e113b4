//! Text without its colours.

use crate::event::Event;
use crate::layout::Layout;

/// Another layout without the sequences that colour a terminal (`ESC [ … m`).
#[derive(Clone)]
pub(super) struct Colourless(pub(super) Box<dyn Layout>);

impl Layout for Colourless {
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        let begin = out.len();
        self.0.write(event, out);
        if out[begin..].contains('\x1b') {
            let line = out.split_off(begin);
            strip(&line, out);
        }
    }

    fn hash(&self) -> u64 {
        // Another number than that of the layout with its colours.
        !self.0.hash()
    }
}

/// Appends a line without its colours.
fn strip(mut line: &str, out: &mut String) {
    while let Some(at) = line.find("\x1b[") {
        let behind = &line[at + 2..];
        let end = behind.find(|found: char| !matches!(found, '0'..='9' | ';' | ':'));
        out.push_str(&line[..at]);
        match end.filter(|end| behind[*end..].starts_with('m')) {
            Some(end) => line = &behind[end + 1..],
            // Some other sequence: it stays.
            None => {
                out.push_str("\x1b[");
                line = behind;
            }
        }
    }
    out.push_str(line);
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn colours_go_and_everything_else_stays() {
        for (coloured, plain) in [
            ("\x1b[1;31mERROR\x1b[0m - text\n", "ERROR - text\n"),
            ("\x1b[m\x1b[38:5:1mü\x1b[39m", "ü"),
            ("\x1b[2Jcleared \x1b[", "\x1b[2Jcleared \x1b["),
            ("no colour", "no colour"),
        ] {
            let mut out = String::from("> ");
            strip(coloured, &mut out);
            assert_eq!(out, format!("> {plain}"));
        }
    }
}
