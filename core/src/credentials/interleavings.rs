//! Every order in which workers may read and write the shared entry.

use std::collections::HashMap;
use std::sync::{Arc, Condvar, Mutex};

use super::answer::FetchError;
use super::entry::{Entry, Timing};
use super::keyring::{Fetch, Keyring, SharedData};
use super::{Credentials, Secret};

const KEY: &str = "key";
const NOW: u64 = 1_764_946_083_000;
const TIMING: Timing = Timing {
    clock_margin: 5_000,
    refresh_margin: None,
    fetch_timeout: 2_000,
};

/// Shared data as Envoy has it: numbers from 1 upwards, and a write to an
/// absent value with any number but 0 creates it.
#[derive(Default)]
struct Store {
    values: HashMap<String, (Vec<u8>, u32)>,
    last: u32,
}

/// One worker's view of the store: each access waits for its turn.
struct View {
    worker: usize,
    store: Arc<(Mutex<Scheduled>, Condvar)>,
}

#[derive(Default)]
struct Scheduled {
    store: Store,
    /// Whose turns are next, the next one last.
    turns: Vec<usize>,
    done: Vec<bool>,
}

impl Scheduled {
    /// Whoever has the turn; turns of those that are done are passed over.
    fn next(&mut self) -> Option<usize> {
        while let Some(&worker) = self.turns.last() {
            if !self.done[worker] {
                return Some(worker);
            }
            self.turns.pop();
        }
        self.done.iter().position(|done| !done)
    }
}

impl View {
    fn in_turn<T>(&self, access: impl FnOnce(&mut Store) -> T) -> T {
        let (lock, changed) = &*self.store;
        let mut scheduled = lock.lock().unwrap();
        while scheduled.next() != Some(self.worker) {
            scheduled = changed.wait(scheduled).unwrap();
        }
        scheduled.turns.pop();
        let result = access(&mut scheduled.store);
        changed.notify_all();
        result
    }
}

impl Drop for View {
    fn drop(&mut self) {
        let (lock, changed) = &*self.store;
        lock.lock().unwrap().done[self.worker] = true;
        changed.notify_all();
    }
}

impl SharedData for View {
    fn get(&self, key: &str) -> (Option<Vec<u8>>, u32) {
        self.in_turn(|store| store.get(key))
    }

    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool {
        self.in_turn(|store| store.set(key, value, cas))
    }
}

impl Store {
    fn get(&self, key: &str) -> (Option<Vec<u8>>, u32) {
        match self.values.get(key) {
            Some((value, cas)) => (Some(value.clone()), *cas),
            None => (None, u32::MAX),
        }
    }

    fn set(&mut self, key: &str, value: &[u8], cas: u32) -> bool {
        match self.values.get(key) {
            Some((_, current)) if cas != 0 && cas != *current => false,
            _ => {
                self.last += 1;
                self.values.insert(key.into(), (value.into(), self.last));
                true
            }
        }
    }
}

/// What one worker does.
type Act<'a, T> = dyn Fn(&mut Keyring, &mut View) -> T + Sync + 'a;

/// Runs one action for each worker in every order of `depth` accesses (then one
/// after the other), from the same `before`; checks what they did and left.
fn in_every_order<T: Send>(
    before: &Entry,
    depth: u32,
    actions: &[&Act<'_, T>],
    check: impl Fn(&[T], &Entry),
) {
    let workers = actions.len();
    for order in 0..workers.pow(depth) {
        let turns = (0..depth).map(|place| order / workers.pow(place) % workers);
        let mut scheduled = Scheduled {
            turns: turns.collect(),
            done: vec![false; workers],
            ..Scheduled::default()
        };
        if *before != Entry::default() {
            scheduled.store.set(KEY, &before.encode(), 0);
        }
        let store = Arc::new((Mutex::new(scheduled), Condvar::new()));
        let results: Vec<T> = std::thread::scope(|scope| {
            let threads: Vec<_> = actions
                .iter()
                .enumerate()
                .map(|(worker, action)| {
                    let mut view = View {
                        worker,
                        store: Arc::clone(&store),
                    };
                    scope.spawn(move || {
                        let mut keyring = Keyring::new((worker as u64 + 1) << 8);
                        keyring.add_fetched(KEY.into(), TIMING);
                        action(&mut keyring, &mut view)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let left = store.0.lock().unwrap().store.get(KEY).0.unwrap();
        check(&results, &Entry::decode(&left));
    }
}

fn credentials(id: &str) -> Credentials {
    Credentials {
        access_key_id: id.into(),
        access_key_secret: Secret::new("secret"),
        security_token: Some(Secret::new("token")),
        expires_at: Some(NOW / 1000 + 3600),
    }
}

/// Generation 1 is stored, and worker 0 has a lease if `leased`.
fn stored(leased: bool) -> Entry {
    let begun = Entry::default().begin(0, NOW, &TIMING).unwrap();
    let stored = begun.succeed(0, credentials("first"), NOW, &TIMING, 0);
    match leased {
        false => stored,
        true => stored.begin(0, NOW + 2_990_000, &TIMING).unwrap(),
    }
}

fn id(entry: &Entry) -> Option<&str> {
    let issued = entry.issued.as_ref()?;
    Some(&issued.credentials.access_key_id)
}

#[test]
fn of_workers_that_start_together_exactly_one_fetches() {
    let refresh = |keyring: &mut Keyring, view: &mut View| keyring.refresh(0, NOW, view);
    in_every_order(
        &Entry::default(),
        6,
        &[&refresh, &refresh, &refresh],
        |fetches, entry| {
            let winners: Vec<_> = fetches.iter().flatten().collect();
            assert_eq!(winners.len(), 1, "{fetches:?}");
            assert_eq!(entry.lease.unwrap().holder, winners[0].holder);
        },
    );
}

#[test]
fn a_storm_of_refusals_drops_the_credentials_once_and_fetches_once() {
    let now = NOW + 60_000;
    let reject = |keyring: &mut Keyring, view: &mut View| {
        let dropped = keyring.reject(0, 1, now, view);
        (dropped, keyring.refresh(0, now, view).is_some())
    };
    in_every_order(
        &stored(false),
        7,
        &[&reject, &reject, &reject],
        |did, entry| {
            assert_eq!(
                did.iter().filter(|(dropped, _)| *dropped).count(),
                1,
                "{did:?}"
            );
            assert_eq!(
                did.iter().filter(|(_, fetches)| *fetches).count(),
                1,
                "{did:?}"
            );
            assert!(entry.issued.is_none() && entry.lease.is_some());
        },
    );
}

#[test]
fn a_storm_of_suspicions_fetches_once_and_every_worker_knows_of_it() {
    let now = NOW + 60_000;
    let suspect = |keyring: &mut Keyring, view: &mut View| {
        let suspected = keyring.suspect(0, 1, now, view);
        let known = keyring.suspected(0) == Some(1);
        let signs = keyring.signer(0, now, view).is_some();
        assert!(known && signs);
        (suspected, keyring.refresh(0, now, view))
    };
    in_every_order(
        &stored(false),
        7,
        &[&suspect, &suspect, &suspect],
        |did, entry| {
            assert_eq!(did.iter().filter(|(first, _)| *first).count(), 1, "{did:?}");
            let fetches: Vec<_> = did.iter().filter_map(|(_, fetch)| *fetch).collect();
            assert!(matches!(fetches[..], [Fetch { anew: true, .. }]), "{did:?}");
            assert_eq!(entry.suspected(), Some(1));
        },
    );
}

#[test]
fn newer_credentials_survive_a_refusal_of_the_old_ones() {
    let now = NOW + 2_991_000;
    in_every_order(
        &stored(true),
        8,
        &[
            &|keyring, view| {
                keyring.answered(0, 0, now, Ok(credentials("second")), view);
            },
            &|keyring, view| {
                keyring.reject(0, 1, now, view);
            },
        ],
        |_, entry| {
            assert_eq!(
                id(entry),
                Some("second"),
                "never lost, never the condemned ones"
            );
            assert_eq!((entry.lease, entry.failures), (None, 0));
        },
    );
}

#[test]
fn a_fetch_from_before_a_rejection_does_not_bring_the_rejected_back() {
    let now = NOW + 2_991_000;
    in_every_order(
        &stored(true),
        8,
        &[
            &|keyring, view| {
                keyring.answered(0, 0, now, Ok(credentials("first")), view);
            },
            &|keyring, view| {
                assert!(keyring.reject(0, 1, now, view), "they are the same still");
            },
        ],
        |_, entry| {
            assert_eq!(id(entry), None);
            assert!(entry.is_due(now, &TIMING));
        },
    );
}

#[test]
fn a_dead_holder_that_comes_back_spoils_nothing() {
    // Worker 0 took the lease, was taken for dead, and then fails; worker 1
    // took over meanwhile, or is about to.
    let begun = Entry::default().begin(0, NOW, &TIMING).unwrap();
    let now = NOW + 10_000;
    in_every_order(
        &begun,
        8,
        &[
            &|keyring, view| keyring.answered(0, 0, now, Err(FetchError::Unreachable), view),
            &|keyring, view| {
                if let Some(fetch) = keyring.refresh(0, now, view) {
                    let result = Ok(credentials("second"));
                    keyring.answered(0, fetch.holder, now, result, view);
                }
            },
        ],
        |_, entry| {
            // Either worker 1 was held off by the failure, or its result stands.
            match id(entry) {
                None => assert_eq!((entry.failures, entry.lease), (1, None)),
                Some(found) => assert_eq!((found, entry.lease), ("second", None)),
            }
        },
    );
}

#[test]
fn a_reader_never_sees_half_an_entry() {
    let now = NOW + 2_991_000;
    in_every_order(
        &stored(true),
        6,
        &[
            &|keyring, view| {
                keyring.answered(0, 0, now, Ok(credentials("second")), view);
                None
            },
            &|keyring, view| {
                let signer = keyring.signer(0, now, view)?;
                Some((
                    signer.credentials().access_key_id.clone(),
                    signer.generation(),
                ))
            },
        ],
        |seen, _| {
            let (id, generation) = seen[1].clone().unwrap();
            assert!(
                matches!((id.as_str(), generation), ("first", 1) | ("second", 2)),
                "{id}"
            );
        },
    );
}
