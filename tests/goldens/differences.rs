//! Where a golden and its outcome here are not the same.

/// Where the goldens differ: script, block, reason. A block of which nothing is written here is one
/// for which there is nothing to compare.
pub(crate) const DIFFERENCES: &[(&str, &str, &str)] = &[
    (
        "02-patternlayout",
        "%l",
        "the module stands for the sub: a log call does not know the function that it is in",
    ),
    ("02-patternlayout", "%M", "the module path, without the sub"),
    ("02-patternlayout", "%M{1}", "the last part of the module path, not the sub"),
    ("02-patternlayout", "%M{2}", "the last parts of the module path, with `::` between them"),
    ("02-patternlayout", "%t", "the name or the number of the thread, which is always known"),
    ("02-patternlayout", "%X", "all pairs of the context"),
    ("02-patternlayout", "%q", "a letter without a meaning is refused when the pattern is read"),
    ("02-patternlayout", "%T", "refused: a log call records no call stack"),
    (
        "03-append-vs-write",
        "Appender::File, mode=nonsense (treated as truncate)",
        "refused: a misspelt value must not empty a file",
    ),
    (
        "07-limit",
        "appender_method_on_flush",
        "an appender has no methods that a configuration could name; it is flushed by the engine",
    ),
    (
        "07-limit",
        "relay threshold inside Limit",
        "no failure: what the relay's threshold refuses is never held",
    ),
    ("07-limit", "buffer", "the event at which Log4perl fails is written"),
    (
        "10-thresholds-additivity",
        "additivity=0 of the earlier case survives a new init: x.y has no appender left",
        "nothing of an earlier configuration is left in a new one",
    ),
    (
        "10-thresholds-additivity",
        "appender_thresholds_adjust",
        "thresholds of appenders change with a reload",
    ),
    (
        "10-thresholds-additivity",
        "lower-case threshold key",
        "`threshold` is how the key is written",
    ),
    (
        "10-thresholds-additivity",
        "rv",
        "a log call returns nothing: appenders run behind the journal",
    ),
    ("10-thresholds-additivity", "eradicate_appender", "appenders come and go with a reload"),
    ("10-thresholds-additivity", "level", "levels have the numbers of OpenTelemetry"),
    (
        "10-thresholds-additivity",
        "remove_appender and level changes at run time",
        "appenders come and go with a reload",
    ),
    ("13-dateformat", "y", "the whole year, as in Java"),
    ("13-dateformat", "yyy", "the whole year, as in Java"),
    ("13-dateformat", "yyyyy", "filled to as many digits as there are letters"),
    ("13-dateformat", "SSSSSSS", "times have nanoseconds, and so nine digits"),
    ("13-dateformat", "F", "implemented: which of its weekdays in the month"),
    ("13-dateformat", "w", "implemented: week of the year"),
    ("13-dateformat", "W", "implemented: week of the month"),
    ("13-dateformat", "k", "implemented: hour 1 to 24"),
    ("13-dateformat", "K", "implemented: hour 0 to 11"),
    ("13-dateformat", "z", "implemented: short name of the zone"),
    ("13-dateformat", "''", "one quote, as in Java"),
    ("13-dateformat", "100% H", "a percent sign stands for itself; Log4perl hands it to `sprintf`"),
    ("13-dateformat", "unmatched quote", "refused as well, with the column and the remedy"),
    (
        "14-levels",
        "built-in levels: name value log-dispatch syslog",
        "levels have the numbers of OpenTelemetry",
    ),
    (
        "14-levels",
        "after create_custom_level(NOTIFY, WARN) and (CONFIG, INFO, 5, 2)",
        "the number of a level of one's own is chosen, not worked out",
    ),
    ("14-levels", "custom level after init", "allowed at any time"),
    ("14-levels", "log with a name", "a level is a type: a name does not compile"),
    ("14-levels", "invalid level in logger line", "refused as well, in other words"),
];
