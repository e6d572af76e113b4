//! The text at the beginning of a file.
//!
//! It is written with the first event and compared with it: to a start it is a part of that event.

use super::{Target, TextFile};

impl TextFile {
    /// Begins the text of a batch with the header, if it belongs there.
    pub(super) fn put_header(&mut self) {
        self.header_bytes = 0;
        if self.header.is_empty() || !matches!(self.target, Target::Locked(_)) {
            return;
        }
        let is_due = match &self.past {
            // A header that stands there is compared like the rest.
            Some(past) if past.from > 0 => {
                self.header_at_every_open && past.begins_with(self.target.file(), &self.header)
            }
            Some(_) => true,
            None => self.end == 0 || self.is_header_due,
        };
        if is_due {
            self.text.push_str(&self.header);
            self.header_bytes = self.header.len();
        }
    }

    /// The text is the first of a new file.
    pub(super) fn put_header_in_front(&mut self) {
        if self.header.is_empty() {
            return;
        }
        let event = String::from_utf8_lossy(self.text.as_bytes()).into_owned();
        self.text.clear();
        self.put_header();
        self.text.push_str(&event);
    }

    /// A batch without an event needs no header.
    pub(super) fn drop_lone_header(&mut self) {
        if self.header_bytes > 0 && self.text.len() == self.header_bytes {
            self.text.clear();
        }
    }
}
