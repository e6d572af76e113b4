//! Each measurement in a process of its own: a process has one logger, and a measurement should not
//! inherit what an earlier one did to the machine's memory.
#![allow(unreachable_pub, reason = "each program is a crate of its own")]

use std::process::{Command, Stdio};

/// Runs this program again with `args`; its figures go where ours go.
pub fn run(args: &[&str]) {
    let program = std::env::current_exe().expect("the program that runs");
    let status = Command::new(program).args(args).stdin(Stdio::null()).status();
    match status {
        Ok(status) if status.success() => {}
        Ok(status) => println!("{}: not measured, {status}", args.join(" ")),
        Err(error) => println!("{}: not measured, {error}", args.join(" ")),
    }
}

/// The arguments of the program, without those that cargo adds.
pub fn arguments() -> Vec<String> {
    std::env::args().skip(1).filter(|argument| argument != "--bench").collect()
}

/// Runs `cases` in turn, `rounds` times, so that what changes on the machine meets all of them
/// alike. `arguments` may name the cases wanted, and `--rounds N`.
pub fn rounds(bench: &str, cases: &[&str], arguments: &[String]) {
    let mut rounds = 3;
    let mut wanted = Vec::new();
    let mut arguments = arguments.iter();
    while let Some(argument) = arguments.next() {
        if argument == "--rounds" {
            let count = arguments.next().and_then(|count| count.parse().ok());
            rounds = count.unwrap_or_else(|| usage(bench, cases, "--rounds needs a number"));
        } else if let Some(case) = cases.iter().find(|case| *case == argument) {
            wanted.push(*case);
        } else {
            usage(bench, cases, &format!("there is no case `{argument}`"))
        }
    }
    let wanted = if wanted.is_empty() { cases.to_vec() } else { wanted };
    for _ in 0..rounds {
        crate::support::report_probe(bench, "before");
        for case in &wanted {
            run(&["one", case]);
        }
        crate::support::report_probe(bench, "after");
    }
}

fn usage(bench: &str, cases: &[&str], problem: &str) -> ! {
    eprintln!(
        "{problem}\nusage: cargo bench --all-features --bench {bench} -- [--rounds N] [CASE …]\ncases: {}",
        cases.join(", ")
    );
    std::process::exit(2);
}
