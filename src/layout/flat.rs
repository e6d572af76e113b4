//! Key-values, arguments and context of an event in one list, where no name stands twice.

use super::group::{Group, Groups};
use super::repeats::Repeats;
use crate::event::Event;
use crate::value::{Scalar, Value};

/// Makes such lists; keeps its buffers from one event to the next.
///
/// Key-values come before arguments, these before the context. Of equal names the first is kept,
/// in the context the innermost. A name that the layout itself uses gets a `_` behind it.
#[derive(Clone, Default, Debug)]
pub(super) struct Flat {
    names: Vec<String>,
    repeats: Repeats,
}

impl Flat {
    /// Shows each name, as `clean` appends it to a string, with its value.
    pub(super) fn for_each(
        &mut self,
        event: &Event<'_>,
        groups: Groups,
        taken: &[&str],
        clean: impl Fn(&str, &mut String),
        mut show: impl FnMut(&str, Value<'_>),
    ) {
        let pairs = || event.pairs().filter(|_| groups.shows(Group::Fields));
        let arguments = || event.arguments().filter(|_| groups.shows(Group::Args));
        let context = match groups.shows(Group::Context) {
            true => &event.context.pairs[..],
            false => &[],
        };
        // The innermost first: it is the one to be kept.
        let innermost = context.iter().rev().map(|(key, _)| &**key);
        let keys = pairs().chain(arguments()).map(|(key, _)| key).chain(innermost);
        let mut count = 0;
        for key in keys {
            if count == self.names.len() {
                self.names.push(String::new());
            }
            let name = &mut self.names[count];
            name.clear();
            clean(key, name);
            if taken.contains(&name.as_str()) {
                name.push('_');
            }
            count += 1;
        }
        let names = &self.names[..count];
        let repeated = self.repeats.find(count, |index| &names[index]);
        let values = pairs().chain(arguments()).map(|(_, value)| value);
        for ((name, value), _) in names.iter().zip(values).zip(repeated).filter(|(_, is)| !**is) {
            show(name, value);
        }
        let outermost = names.iter().zip(repeated).rev();
        for ((name, is_repeated), (_, value)) in outermost.zip(context) {
            if !is_repeated {
                show(name, Value::Plain(Scalar::Str(value)));
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::layout::fixture::Fixture;
    use crate::layout::scalar::push_value;
    use crate::template::Template;
    use crate::value::Kind;

    fn shown(fixture: &mut Fixture, groups: Groups) -> String {
        let mut out = String::new();
        let clean = |key: &str, name: &mut String| name.push_str(&key.replace('.', "_"));
        Flat::default().for_each(&fixture.event(), groups, &["level"], clean, |name, value| {
            out.push_str(name);
            out.push('=');
            push_value(value, &mut out);
            out.push(' ');
        });
        out
    }

    #[test]
    fn each_name_stands_once() {
        let mut fixture = Fixture::saying("")
            .with("a", Kind::U8, &[0])
            .with("k.1", Kind::U8, &[1])
            .with("level", Kind::U8, &[2])
            .with("k_1", Kind::U8, &[3])
            .with("level_", Kind::U8, &[4])
            .inside("c", "outer")
            .inside("k.1", "context")
            .inside("d", "5")
            .inside("c", "inner");
        fixture.site.template = Template::parse("{}");
        assert_eq!(shown(&mut fixture, Groups::DATA), "k_1=1 level_=2 d=5 c=inner ");
        let all = "k_1=1 level_=2 a=0 d=5 c=inner ";
        assert_eq!(shown(&mut fixture, Groups::ALL), all);
        let context = Groups::DATA.without(Group::Fields);
        assert_eq!(shown(&mut fixture, context), "k_1=context d=5 c=inner ");
        assert_eq!(shown(&mut fixture, context.without(Group::Context)), "");
    }
}
