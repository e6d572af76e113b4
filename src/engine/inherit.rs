//! Other threads that go on with the context of the one that gave them their work.

use std::fmt;
use std::io;
use std::thread::{Builder, JoinHandle};

use super::call;
use crate::context::{self, Snapshot};

/// The context of a thread as it was at some time: MDC and NDC.
///
/// Cheap to clone. What the thread adds or removes later does not change it.
#[derive(Clone)]
pub struct Inheritance(Snapshot);

/// Takes the context of the calling thread for others to go on with.
///
/// # Examples
/// ```
/// use rollway::Mdc;
///
/// let _request = rollway::mdc("request", 4711);
/// let context = rollway::inherit();
/// std::thread::scope(|scope| {
///     for _ in 0..2 {
///         scope.spawn(|| context.run(|| assert_eq!(Mdc::get("request").as_deref(), Some("4711"))));
///     }
/// });
/// ```
pub fn inherit() -> Inheritance {
    Inheritance(context::snapshot())
}

/// Makes of a task one that runs in the context that the calling thread has now, wherever and
/// whenever it runs. This is for thread pools: afterwards the thread of the pool has its own
/// context again.
///
/// # Examples
/// ```
/// let _request = rollway::mdc("request", 4711);
/// let thread = std::thread::spawn(rollway::inherited(|| rollway::info!("carries the request")));
/// thread.join().unwrap();
/// ```
pub fn inherited<R>(task: impl FnOnce() -> R) -> impl FnOnce() -> R {
    let context = inherit();
    move || context.run(task)
}

/// Spawns a thread that begins with the context of the calling one.
///
/// # Errors
/// Those of [`Builder::spawn`].
///
/// # Examples
/// ```
/// let _job = rollway::ndc("nightly job");
/// let builder = std::thread::Builder::new().name("worker".into());
/// let worker = rollway::spawn_inheriting(builder, || rollway::info!("carries the job"))?;
/// worker.join().unwrap();
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn spawn_inheriting<R: Send + 'static>(
    builder: Builder,
    task: impl FnOnce() -> R + Send + 'static,
) -> io::Result<JoinHandle<R>> {
    builder.spawn(inherited(task))
}

impl Inheritance {
    /// Runs `task` in this context, in the place of the calling thread's own, which is back when
    /// `task` has returned or panicked. Costs a record of context before the next event, within and
    /// afterwards, unless neither context has anything.
    pub fn run<R>(&self, task: impl FnOnce() -> R) -> R {
        let _stand_in = StandIn::new(&self.0);
        task()
    }
}

impl fmt::Debug for Inheritance {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Inheritance").finish_non_exhaustive()
    }
}

/// A context that stands in for the thread's own.
struct StandIn {
    /// Whether there is anything to undo.
    stands_in: bool,
}

impl StandIn {
    fn new(context: &Snapshot) -> StandIn {
        let stands_in = context::stand_in(context);
        if stands_in {
            call::context_changed();
        }
        StandIn { stands_in }
    }
}

impl Drop for StandIn {
    fn drop(&mut self) {
        if self.stands_in {
            context::stand_back();
            call::context_changed();
        }
    }
}
