//! [`EventLogActor`]: reads one event log for all reducers that follow it.

mod answers;

use std::{
    collections::VecDeque,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{
        Arc, Weak,
        atomic::{AtomicBool, Ordering},
    },
};

use actix::{Actor, ActorContext, Addr, AsyncContext, Context, Handler, Recipient, Running};
use rederive_core::{
    Cursor, Entry, EventLog, EventTypes, LogError, Notice, Slice, Tentative, Timestamp, Wake,
    error::panic_message,
};

use crate::{
    config::Config,
    ended::EndGuard,
    health::Health,
    message::{
        Abort, ActorEnded, Fetch, Fetched, Find, Follow, Found, Head, HeadIs, Measure, Measured,
        NewEvents, Stop, Survey, Woken,
    },
    observe::Observers,
    status::Surveyed,
    worker::{Place, Worker},
};

/// Serves reads of the log, one at a time, on a thread of its own, and keeps the newest slices: one
/// read serves all reducers that are at about the same place.
///
/// Wakes its followers when the log says so or when a poll finds that the log has grown.
pub(crate) struct EventLogActor<E: Send + Sync + 'static> {
    log: Arc<dyn EventLog<Event = E>>,
    config: Config,
    observers: Observers,
    worker: Option<Worker<()>>,
    followers: Vec<Recipient<NewEvents>>,
    queue: VecDeque<Request<E>>,
    reading: bool,
    /// What is being read is for a status.
    surveying: bool,
    attempts: u32,
    health: Health,
    recent: VecDeque<Recent<E>>,
    /// What was handed out last and may not be in the log yet: reads have to wait for it.
    tentative: Option<Tentative>,
    /// How often we have been woken: a slice is known to end at the head only as long as this has
    /// not changed since it was read.
    wakes: u64,
    /// The farthest that a read has reached.
    seen: Cursor,
    /// Kept for the log, which holds it weakly.
    wake: Option<Arc<Wake>>,
    stopping: Option<Stop>,
    guard: EndGuard<ActorEnded>,
}

/// How many slices are kept for reducers that are a little behind.
const RECENT_SLICES: usize = 4;

enum Request<E: Send + Sync + 'static> {
    Fetch(Fetch<E>),
    Find(Find<E>),
    Head(Head),
    Survey(Survey),
    Measure(Measure),
    Poll,
}

enum Answer<E> {
    /// And the types that were asked for.
    Slice(Slice<E>, Arc<EventTypes>),
    /// A slice with what stands at the cursor: so that events are held in one way only.
    Event(Option<Slice<E>>),
    Head(Cursor),
    Survey(Surveyed),
    Measure(Measured),
}

struct Recent<E> {
    after: Cursor,
    types: Arc<EventTypes>,
    wakes: u64,
    slice: Arc<Slice<E>>,
}

/// worker → event log: a request has been answered.
struct Read<E: Send + Sync + 'static> {
    request: Request<E>,
    /// What `wakes` was when the read began.
    wakes: u64,
    answer: Result<Answer<E>, LogError>,
}

impl<E: Send + Sync + 'static> actix::Message for Read<E> {
    type Result = ();
}

impl<E: Send + Sync + 'static> EventLogActor<E> {
    pub(crate) fn new(
        log: Arc<dyn EventLog<Event = E>>,
        config: Config,
        observers: Observers,
        health: Health,
        guard: EndGuard<ActorEnded>,
    ) -> Self {
        Self {
            log,
            config,
            observers,
            worker: None,
            followers: Vec::new(),
            queue: VecDeque::new(),
            reading: false,
            surveying: false,
            attempts: 0,
            health,
            recent: VecDeque::new(),
            tentative: None,
            wakes: 0,
            seen: Cursor::Start,
            wake: None,
            stopping: None,
            guard,
        }
    }

    /// True when nothing is under way or to be read but for somebody's status: however often that is
    /// asked for, and however long it takes, the log is polled in between.
    fn only_surveys(&self) -> bool {
        let survey = |request: &Request<E>| matches!(request, Request::Survey(_));
        (!self.reading || self.surveying) && self.queue.iter().all(survey)
    }

    fn ask(&mut self, request: Request<E>, ctx: &Context<Self>) {
        self.queue.push_back(request);
        self.go_on(ctx);
    }

    fn go_on(&mut self, ctx: &Context<Self>) {
        while !self.reading
            && let Some(request) = self.queue.pop_front()
        {
            match request {
                Request::Fetch(fetch) if let Some(fetched) = self.recent_slice(&fetch) => {
                    fetch.reply.do_send(fetched);
                }
                Request::Fetch(fetch) if let Some(slice) = self.at_hand(&fetch) => {
                    let answer = Answer::Slice(slice, Arc::default());
                    self.answer(Request::Fetch(fetch), self.wakes, answer);
                }
                Request::Find(find) if let Some(slice) = self.recent_with(&find.cursor) => {
                    let Find { cursor, standing_by, reply } = find;
                    reply.do_send(Found { cursor, standing_by, slice: Some(slice) });
                }
                Request::Survey(survey) if survey.reply.is_closed() => {}
                Request::Survey(mut survey) => {
                    survey.oldest = survey.oldest.or_else(|| self.recent_time(&survey.after));
                    self.read(Request::Survey(survey), ctx);
                }
                request => self.read(request, ctx),
            }
        }
    }

    /// The slices that are kept, but for those with events that have not come into the log.
    fn recent(&self) -> impl Iterator<Item = &Recent<E>> {
        self.recent.iter().filter(|recent| !recent.slice.is_lost())
    }

    fn recent_slice(&self, fetch: &Fetch<E>) -> Option<Fetched<E>> {
        let Fetch { after, types, repair, .. } = fetch;
        let found = self.recent().find(|recent| {
            recent.after <= *after && *after < recent.slice.end && recent.types.covers(types)
        })?;
        let at_head = found.slice.at_head && found.wakes == self.wakes;
        Some(Fetched { slice: Arc::clone(&found.slice), at_head, repair: repair.clone() })
    }

    /// What the log has at hand, without a read.
    fn at_hand(&self, fetch: &Fetch<E>) -> Option<Slice<E>> {
        // Only a read shows that the log is back, and somebody may look at the status.
        if self.attempts > 0 {
            return None;
        }
        // Decoding runs code of the user's: reading has it panic where that is reported.
        let recent = || self.log.recent(&fetch.after, fetch.limit);
        catch_unwind(AssertUnwindSafe(recent)).unwrap_or_default()
    }

    /// When the first event after the cursor was recorded, if a recent slice tells.
    fn recent_time(&self, after: &Cursor) -> Option<Timestamp> {
        let covers = |recent: &&Recent<E>| recent.after <= *after && *after < recent.slice.end;
        match self.recent().find(covers)?.slice.entries(after).next()? {
            Entry::Event(_, event) => Some(event.time),
            Entry::Undecodable(..) => None,
        }
    }

    fn recent_with(&self, cursor: &Cursor) -> Option<Arc<Slice<E>>> {
        let mut settled = self.recent().filter(|recent| recent.slice.is_settled());
        let recent = settled.find(|recent| recent.slice.at(cursor).is_some())?;
        Some(Arc::clone(&recent.slice))
    }

    /// What to read for this request: also what others want who wait to go on from the same place,
    /// so that one read serves them all.
    fn types_for(&self, fetch: &Fetch<E>) -> Arc<EventTypes> {
        let mut types = Arc::clone(&fetch.types);
        for request in &self.queue {
            if let Request::Fetch(other) = request
                && other.after == fetch.after
                && !types.covers(&other.types)
            {
                types = Arc::new(types.or(&other.types));
            }
        }
        types
    }

    fn read(&mut self, request: Request<E>, ctx: &Context<Self>) {
        let types = match &request {
            Request::Fetch(fetch) => self.types_for(fetch),
            _ => Arc::default(),
        };
        let Some(worker) = &self.worker else { return };
        self.reading = true;
        self.surveying = matches!(request, Request::Survey(_));
        let (log, me, wakes) = (Arc::clone(&self.log), ctx.address(), self.wakes);
        let tentative = self.tentative.take();
        worker.run(move |()| {
            // Those who have been told of these events must find them.
            if let Some(tentative) = tentative {
                tentative.wait();
            }
            let answer = catch_unwind(AssertUnwindSafe(|| match &request {
                Request::Fetch(fetch) => {
                    let slice = log.fetch_types(&fetch.after, fetch.limit, &types);
                    slice.map(|slice| Answer::Slice(slice, types))
                }
                Request::Find(find) => answers::found(&*log, &find.cursor).map(Answer::Event),
                Request::Measure(asked) => answers::measured(&*log, asked).map(Answer::Measure),
                Request::Head(_) | Request::Poll => log.head().map(Answer::Head),
                Request::Survey(asked) => answers::surveyed(&*log, asked).map(Answer::Survey),
            }));
            let answer = answer.unwrap_or_else(|payload| {
                Err(LogError::new(format!("it panicked: {}", panic_message(&*payload))))
            });
            me.do_send(Read { request, wakes, answer });
        });
    }

    fn answer(&mut self, request: Request<E>, wakes: u64, answer: Answer<E>) {
        match (request, answer) {
            (Request::Fetch(fetch), Answer::Slice(slice, types)) => {
                let slice = Arc::new(slice);
                match &slice.tentative {
                    // It is not seen before it is there.
                    Some(tentative) => self.tentative = Some(tentative.clone()),
                    None => self.seen = slice.end.clone().max(self.seen.clone()),
                }
                // What cannot be decoded may be corrected, and is read again for whoever asks.
                if !slice.events.is_empty() && slice.undecodable.is_empty() {
                    let (after, slice) = (fetch.after, Arc::clone(&slice));
                    self.recent.push_front(Recent { after, types, wakes, slice });
                    self.recent.truncate(RECENT_SLICES);
                }
                let at_head = slice.at_head && wakes == self.wakes;
                fetch.reply.do_send(Fetched { slice, at_head, repair: fetch.repair });
            }
            (Request::Find(find), Answer::Event(slice)) => {
                let Find { cursor, standing_by, reply } = find;
                reply.do_send(Found { cursor, standing_by, slice: slice.map(Arc::new) });
            }
            (Request::Survey(survey), Answer::Survey(surveyed)) => {
                // Whoever asked for a status may have given up.
                let _ = survey.reply.send(surveyed);
            }
            (Request::Measure(measure), Answer::Measure(measured)) => {
                measure.reply.do_send(measured)
            }
            (Request::Head(Head(reply)), Answer::Head(head)) => reply.do_send(HeadIs(head)),
            (Request::Poll, Answer::Head(head)) if head > self.seen => {
                self.seen = head;
                self.wake();
            }
            // A poll without news; other pairs do not occur.
            _ => {}
        }
    }

    fn wake(&mut self) {
        self.wakes += 1;
        for follower in &self.followers {
            follower.do_send(NewEvents);
        }
    }

    fn stop(&mut self, ctx: &mut Context<Self>) {
        self.guard.disarm();
        if let Some(worker) = self.worker.take() {
            worker.join();
        }
        if let Some(stop) = self.stopping.take() {
            stop.answer();
        }
        ctx.stop();
    }
}

/// What the log calls: sends one [`Woken`] until that has been handled, however often it is called.
fn waker<E: Send + Sync + 'static>(me: Addr<EventLogActor<E>>) -> Arc<Wake> {
    let woken = Arc::new(AtomicBool::new(false));
    Arc::new(move || {
        if !woken.swap(true, Ordering::AcqRel) {
            me.do_send(Woken(Arc::clone(&woken)));
        }
    })
}

impl<E: Send + Sync + 'static> Actor for EventLogActor<E> {
    type Context = Context<Self>;

    fn started(&mut self, ctx: &mut Context<Self>) {
        match Worker::start("rederive-read", (), &Place::default()) {
            Ok(worker) => self.worker = Some(worker),
            Err(error) => {
                log::error!(target: "rederive", "cannot start the reader thread: {error}");
                ctx.stop();
                return;
            }
        }
        let wake = waker(ctx.address());
        let weak: Weak<Wake> = Arc::downgrade(&wake);
        self.wake = Some(wake);
        self.log.subscribe(weak);
        ctx.run_interval(self.config.poll_interval, |this, ctx| {
            // While reads are under way, there is nothing to find out.
            if this.only_surveys() && this.stopping.is_none() {
                this.queue.push_front(Request::Poll);
                this.go_on(ctx);
            }
        });
    }

    fn stopping(&mut self, _: &mut Context<Self>) -> Running {
        Running::Stop
    }
}

impl<E: Send + Sync + 'static> Handler<Woken> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, Woken(pending): Woken, _: &mut Context<Self>) {
        // Before the followers are told: what is appended from now on wakes us again.
        pending.store(false, Ordering::Release);
        self.wake();
    }
}

impl<E: Send + Sync + 'static> Handler<Follow> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, Follow(follower): Follow, _: &mut Context<Self>) {
        self.followers.retain(Recipient::connected);
        self.followers.push(follower);
    }
}

impl<E: Send + Sync + 'static> Handler<Fetch<E>> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, fetch: Fetch<E>, ctx: &mut Context<Self>) {
        self.ask(Request::Fetch(fetch), ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Find<E>> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, find: Find<E>, ctx: &mut Context<Self>) {
        self.ask(Request::Find(find), ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Measure> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, measure: Measure, ctx: &mut Context<Self>) {
        self.ask(Request::Measure(measure), ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Head> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, head: Head, ctx: &mut Context<Self>) {
        self.ask(Request::Head(head), ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Survey> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, survey: Survey, ctx: &mut Context<Self>) {
        // So that those who gave up do not pile up while the log does not answer.
        self.queue.retain(|request| match request {
            Request::Survey(before) => !before.reply.is_closed(),
            _ => true,
        });
        self.ask(Request::Survey(survey), ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Read<E>> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, read: Read<E>, ctx: &mut Context<Self>) {
        match read.answer {
            Ok(answer) => {
                self.reading = false;
                self.attempts = 0;
                self.health.set(None);
                self.answer(read.request, read.wakes, answer);
            }
            // Only a question: whether the log can be read is found out by those who need it.
            Err(_) if matches!(read.request, Request::Survey(_)) => self.reading = false,
            Err(error) => {
                self.attempts += 1;
                let delay = self.config.backoff(self.attempts);
                let (attempt, error) = (self.attempts, error.to_string());
                self.health.delayed(attempt, &error);
                self.observers.tell(&Notice::ReadDelayed { attempt, delay, error });
                self.queue.push_front(read.request);
                ctx.run_later(delay, |this, ctx| {
                    this.reading = false;
                    this.go_on(ctx);
                });
            }
        }
        if self.stopping.is_some() {
            self.stop(ctx);
        } else {
            self.go_on(ctx);
        }
    }
}

impl<E: Send + Sync + 'static> Handler<Stop> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, stop: Stop, ctx: &mut Context<Self>) {
        self.stopping = Some(stop);
        // A read under way is short, and its thread is joined.
        self.stop(ctx);
    }
}

impl<E: Send + Sync + 'static> Handler<Abort> for EventLogActor<E> {
    type Result = ();

    fn handle(&mut self, _: Abort, ctx: &mut Context<Self>) {
        self.guard.disarm();
        ctx.stop();
    }
}
