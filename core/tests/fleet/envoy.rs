//! One Envoy: real workers of the core, which share a store, and the ticks that the adapters
//! give them.

use std::sync::atomic::Ordering;

use oss_origin_auth_core::fetch::answer::Answer;
use oss_origin_auth_core::fetch::entry::{Entry, Timing};
use oss_origin_auth_core::oss::time::rfc3339_utc;

use super::hosts::asked::CONFIGURATION;
use super::hosts::node::{Node, Process};
use super::hosts::world::START;
use super::sidecar::Given;

/// An Envoy with its threads.
pub struct Envoy {
    process: Process,
    threads: Vec<Node>,
    /// When each thread has its first tick, in milliseconds.
    first_ticks: Vec<u64>,
    key: String,
    /// Tells the last tick that was planned from those before.
    pub plan: u32,
    answered_at: u64,
}

/// The times of the adapters (`src/plugin.rs`, `native/src/ticker.rs`).
const FIRST_TICK: u64 = 10;
const BUSY_TICK: u64 = 5;
const IDLE_TICK: u64 = 1_000;

/// Of the default settings.
const TIMING: Timing = Timing {
    clock_margin: 5_000,
    refresh_margin: None,
    fetch_timeout: 2_000,
};

impl Envoy {
    /// An Envoy that begins then. `random` gives any number.
    pub fn new(threads: usize, begin: u64, mut random: impl FnMut() -> u64) -> Envoy {
        let process = Process::default();
        let node = |_| Node::new(CONFIGURATION, &process, random());
        let threads: Vec<Node> = (0..threads).map(node).collect();
        // They are configured one after the other.
        let first_ticks = (0..threads.len() as u64).map(|n| begin + FIRST_TICK + n * 7);
        Envoy {
            first_ticks: first_ticks.collect(),
            threads,
            process,
            key: String::new(),
            plan: 0,
            answered_at: 0,
        }
    }

    /// A tick of a thread. Whether it begins a fetch.
    pub fn tick(&mut self, thread: usize, now: u64) -> bool {
        self.process.clock.store(START + now, Ordering::SeqCst);
        let node = &mut self.threads[thread];
        let before = node.worker.host.fetches.len();
        node.fetch();
        node.look();
        if let Some(fetch) = node.worker.host.fetches.back() {
            self.key = fetch.sidecar.shared_key();
        }
        node.worker.host.fetches.len() > before
    }

    /// The sidecar answers a fetch of a thread.
    pub fn answer(&mut self, thread: usize, given: Given, now: u64) {
        self.process.clock.store(START + now, Ordering::SeqCst);
        let (status, body) = match given {
            Given::Until(until) => (200, credentials(until)),
            Given::Failure => (502, String::new()),
            Given::Busy => (429, String::new()),
        };
        let body = body.as_bytes();
        let size = body.len();
        self.answered_at = now;
        let node = &mut self.threads[thread];
        node.answer(Answer::Given { status, size, body }).unwrap();
        node.look();
        node.logged();
    }

    /// Until when it can sign, in milliseconds; 0 if it never could.
    pub fn can_sign_until(&self) -> u64 {
        let issued = self.entry().issued;
        let expires_at = issued.and_then(|issued| issued.credentials.expires_at);
        expires_at.map_or(0, |time| time * 1_000 - TIMING.clock_margin - START)
    }

    /// Whether the real worker of a thread says of its credentials what is assumed here. It
    /// says so once a second.
    pub fn says_what_is_assumed(&mut self, thread: usize, now: u64) -> bool {
        self.process.clock.store(START + now, Ordering::SeqCst);
        let said = self.threads[thread].counted("credentials.valid.default") == 1;
        now < self.answered_at + 1_000 || said == (self.can_sign_until() > now)
    }

    /// The first tick that does something, and whose it is: those before find that no fetch
    /// is due. While it has no credentials, requests wait and the ticks are fast.
    pub fn next_tick(&self, now: u64) -> (u64, usize) {
        let due = self.due().max(now + 1);
        let period = match self.can_sign_until() > due {
            true => IDLE_TICK,
            false => BUSY_TICK,
        };
        let ticks = self.first_ticks.iter().map(|first| match first >= &due {
            true => *first,
            false => first + (due - first).div_ceil(period) * period,
        });
        let ticks = ticks.enumerate().map(|(thread, at)| (at, thread));
        ticks.min().unwrap()
    }

    /// The tick of a thread that follows this one, whether it does anything or not.
    pub fn following_tick(&self, thread: usize, now: u64) -> u64 {
        let first = self.first_ticks[thread];
        let period = match self.can_sign_until() > now {
            true => IDLE_TICK,
            false => BUSY_TICK,
        };
        if first > now {
            first
        } else {
            first + ((now - first) / period + 1) * period
        }
    }

    /// From when on a fetch is due, in milliseconds.
    pub fn due(&self) -> u64 {
        let entry = self.entry();
        let refresh = entry.issued.as_ref().map_or(0, |issued| issued.refresh_at);
        let lease = entry.lease.map_or(0, |lease| lease.until);
        let due = refresh.max(entry.not_before).max(lease);
        due.saturating_sub(START)
    }

    fn entry(&self) -> Entry {
        let (value, _) = self.process.store.lock().unwrap().get(&self.key);
        value.as_deref().map(Entry::decode).unwrap_or_default()
    }
}

fn credentials(until: u64) -> String {
    let expiration = rfc3339_utc((START + until) / 1_000);
    format!(
        r#"{{"Code":"Success","AccessKeyId":"STS.{until}","AccessKeySecret":"secret",
            "SecurityToken":"token","Expiration":"{expiration}"}}"#
    )
}
