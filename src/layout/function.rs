//! A function as a layout.

use super::Layout;
use crate::event::Event;

/// [`Layout::hash`] of functions begins with this.
const HASH_KIND: u8 = b'F';

/// What [`from_fn`] makes.
#[derive(Clone, Copy, Debug)]
pub struct FromFn<F> {
    version: u64,
    write: F,
}

/// A layout that lets a function append the text of an event, its newline included.
///
/// The function leaves alone what stands in the string. It has to see to it that data cannot make a
/// line of its own; [`escape`](super::escape::escape) does. `version` is the layout's
/// [`hash`](Layout::hash): change it when the function writes something else than before.
///
/// # Examples
/// ```
/// use rollway::layout::escape::escape;
/// use rollway::layout::from_fn;
///
/// let mut message = String::new();
/// let layout = from_fn(1, move |event, out| {
///     message.clear();
///     event.message(&mut message);
///     escape(&message, out);
///     out.push('\n');
/// });
/// ```
pub fn from_fn<F>(version: u64, write: F) -> FromFn<F>
where
    F: FnMut(&Event<'_>, &mut String) + Clone + Send + 'static,
{
    FromFn { version, write }
}

impl<F> Layout for FromFn<F>
where
    F: FnMut(&Event<'_>, &mut String) + Clone + Send + 'static,
{
    fn write(&mut self, event: &Event<'_>, out: &mut String) {
        (self.write)(event, out);
    }

    fn hash(&self) -> u64 {
        super::hash_of(HASH_KIND, &[&self.version.to_string()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::Page;
    use crate::layout::fixture::Fixture;

    #[test]
    fn a_function_is_a_layout() {
        let mut lines = 0;
        let mut layout: Box<dyn Layout> = Box::new(from_fn(7, move |event, out| {
            lines += 1;
            out.push_str(&format!("{lines} {}\n", event.site.category));
        }));
        let mut page = Page::new();
        layout.write_page(&Fixture::saying("m").event(), &mut page);
        layout.write_page(&Fixture::saying("m").event(), &mut page);
        // A clone goes on from where it was made.
        layout.clone().write_page(&Fixture::saying("m").event(), &mut page);
        assert_eq!(page.as_bytes(), b"1 shop::till\n2 shop::till\n3 shop::till\n");
    }

    #[test]
    fn its_number_is_that_of_its_version() {
        let hash = |version| from_fn(version, |_, _| ()).hash();
        assert_eq!(hash(1), hash(1));
        assert_ne!(hash(1), hash(2));
    }
}
