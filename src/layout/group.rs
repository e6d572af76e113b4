//! What a structured line shows beside time, level, category and message.

/// What an event in JSON or logfmt may show beside time, level, category and message.
///
/// `docs/layouts.md` has the names that each layout gives to them; those here are of
/// [`Json`](super::Json), which shows them in this order.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u8)]
pub enum Group {
    /// `fields`: the key-values, an object.
    Fields,
    /// `args`: the template's values by name or position, an object.
    Args,
    /// `template`: the format string as written.
    Template,
    /// `context`: the mapped diagnostic context, an object of strings.
    Context,
    /// `file`, `line` and `module` of the call; each left out where it is unknown.
    Location,
    /// `thread`, left out where it has no name, and the number `thread_id`.
    Thread,
    /// `process`: an object of `pid`, `service` and `host`.
    Process,
    /// `received` and `peer`: when and from where a master got it; `elsewhere`, if another master may
    /// have it, too. Left out where it was logged.
    Receipt,
}

/// A set of groups.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct Groups(u8);

impl Group {
    pub(super) const ALL: [Group; 8] = [
        Group::Fields,
        Group::Args,
        Group::Template,
        Group::Context,
        Group::Location,
        Group::Thread,
        Group::Process,
        Group::Receipt,
    ];
}

impl Groups {
    /// Key-values and context.
    pub(super) const DATA: Groups = Groups(1 << Group::Fields as u8 | 1 << Group::Context as u8);
    pub(super) const ALL: Groups = Groups(u8::MAX);

    pub(super) const fn with(self, group: Group) -> Groups {
        Groups(self.0 | 1 << group as u8)
    }

    pub(super) const fn without(self, group: Group) -> Groups {
        Groups(self.0 & !(1 << group as u8))
    }

    pub(super) const fn shows(self, group: Group) -> bool {
        self.0 & 1 << group as u8 != 0
    }

    /// For [`Layout::hash`](super::Layout::hash).
    pub(super) fn marks(self) -> [&'static str; Group::ALL.len()] {
        Group::ALL.map(|group| if self.shows(group) { "1" } else { "0" })
    }
}
