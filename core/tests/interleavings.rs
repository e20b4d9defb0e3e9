//! Every order in which workers may read and write the shared entry.

#![allow(clippy::unwrap_used, reason = "test support")]

mod hosts;

use std::sync::{Arc, Condvar, Mutex};

use hosts::store::Store;
use oss_origin_auth_core::credentials::{Credentials, Secret};
use oss_origin_auth_core::fetch::SharedData;
use oss_origin_auth_core::fetch::account::{Account, AccountId, Accounts, Fetch, Wanted};
use oss_origin_auth_core::fetch::answer::FetchError;
use oss_origin_auth_core::fetch::entry::{Entry, Timing};
use oss_origin_auth_core::fetch::source::{Sidecar, Source, SourceKind};

const NOW: u64 = 1_764_946_083_000;
const TIMING: Timing = Timing {
    clock_margin: 5_000,
    refresh_margin: None,
    fetch_timeout: 2_000,
};

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

/// What one worker does.
type Act<'a, T> = dyn Fn(&mut Accounts, &mut View) -> T + Sync + 'a;

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
            scheduled
                .store
                .set(&sidecar().shared_key(), &before.encode(), 0);
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
                        let source = Source {
                            name: "default".into(),
                            kind: SourceKind::Sidecar(sidecar().into()),
                        };
                        let random = (worker as u64 + 1) << 8;
                        action(&mut Accounts::new(&[source], random), &mut view)
                    })
                })
                .collect();
            threads.into_iter().map(|t| t.join().unwrap()).collect()
        });
        let left = store.0.lock().unwrap().store.get(&sidecar().shared_key()).0;
        let left = left.unwrap();
        check(&results, &Entry::decode(&left));
    }
}

const ACCOUNT: AccountId = AccountId(0);

fn sidecar() -> Sidecar {
    Sidecar {
        cluster: "sts".into(),
        authority: "sts".into(),
        path: "/".into(),
        timeout_ms: TIMING.fetch_timeout,
        clock_margin_ms: TIMING.clock_margin,
        refresh_margin_ms: TIMING.refresh_margin,
        token: None,
    }
}

fn account(accounts: &mut Accounts) -> &mut Account {
    accounts.get_mut(ACCOUNT).unwrap()
}

/// The holder of the fetch that this worker must make, and whether it wants no copy.
fn begin(accounts: &mut Accounts, now: u64, view: &mut View) -> Option<(u64, bool)> {
    let fetches = accounts.begin(&Wanted::All, now, view);
    let mut fetches = fetches.iter().map(
        |Fetch {
             holder, no_cache, ..
         }| (*holder, *no_cache),
    );
    fetches.next()
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
    let refresh = |accounts: &mut Accounts, view: &mut View| begin(accounts, NOW, view);
    in_every_order(
        &Entry::default(),
        6,
        &[&refresh, &refresh, &refresh],
        |fetches, entry| {
            let winners: Vec<_> = fetches.iter().flatten().collect();
            assert_eq!(winners.len(), 1, "{fetches:?}");
            assert_eq!(entry.lease.unwrap().holder, winners[0].0);
        },
    );
}

#[test]
fn a_storm_of_refusals_drops_the_credentials_once_and_fetches_once() {
    let now = NOW + 60_000;
    let reject = |accounts: &mut Accounts, view: &mut View| {
        let dropped = account(accounts).reject(1, now, view);
        (dropped, begin(accounts, now, view).is_some())
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
    let suspect = |accounts: &mut Accounts, view: &mut View| {
        let suspected = account(accounts).suspect(1, now, view);
        let known = account(accounts).suspected == Some(1);
        let signs = account(accounts).signer(now, view).is_some();
        assert!(known && signs);
        (suspected, begin(accounts, now, view))
    };
    in_every_order(
        &stored(false),
        7,
        &[&suspect, &suspect, &suspect],
        |did, entry| {
            assert_eq!(did.iter().filter(|(first, _)| *first).count(), 1, "{did:?}");
            let fetches: Vec<_> = did.iter().filter_map(|(_, fetch)| *fetch).collect();
            assert!(matches!(fetches[..], [(_, true)]), "{did:?}");
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
            &|accounts, view| {
                accounts.end(ACCOUNT, 0, Ok(credentials("second")), now, view);
            },
            &|accounts, view| {
                account(accounts).reject(1, now, view);
            },
        ],
        |_, entry| {
            assert_eq!(
                id(entry),
                Some("second"),
                "never lost, never the rejected ones"
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
            &|accounts, view| {
                accounts.end(ACCOUNT, 0, Ok(credentials("first")), now, view);
            },
            &|accounts, view| {
                assert!(
                    account(accounts).reject(1, now, view),
                    "they are the same still"
                );
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
            &|accounts, view| accounts.end(ACCOUNT, 0, Err(FetchError::Unreachable), now, view),
            &|accounts, view| {
                if let Some((holder, _)) = begin(accounts, now, view) {
                    let result = Ok(credentials("second"));
                    accounts.end(ACCOUNT, holder, result, now, view);
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
            &|accounts, view| {
                accounts.end(ACCOUNT, 0, Ok(credentials("second")), now, view);
                None
            },
            &|accounts, view| {
                let signer = account(accounts).signer(now, view)?;
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
