//! Signatures that were made already.

use std::hash::{BuildHasher, BuildHasherDefault, DefaultHasher};
use std::rc::Rc;

use super::Request;

/// What `Authorization` was for the last requests. Each has one place, by its
/// hash; the next for that place drives it out, which is the worst that a client
/// can do here.
#[derive(Default)]
pub struct Memo {
    /// None before the first.
    places: Vec<Option<Known>>,
}

/// What was asked, and the value of `Authorization`.
type Known = (Vec<u8>, Rc<[u8]>);

type Hashing = BuildHasherDefault<DefaultHasher>;

/// With keys of usual length, some 30 KB.
const PLACES: usize = 128;

impl Memo {
    /// Of a request without headers of its own that are signed.
    pub fn get(&mut self, request: &Request, make: impl FnOnce() -> Vec<u8>) -> Rc<[u8]> {
        let asked = asked(request);
        if self.places.is_empty() {
            self.places.resize(PLACES, None);
        }
        let at = Hashing::default().hash_one(&asked) as usize % PLACES;
        match self.places.get_mut(at) {
            Some(Some((known, authorization))) if *known == asked => Rc::clone(authorization),
            place => {
                let authorization: Rc<[u8]> = make().into();
                if let Some(place) = place {
                    *place = Some((asked, Rc::clone(&authorization)));
                }
                authorization
            }
        }
    }
}

/// All that tells one request's signature from another's: neither a canonical
/// path nor a canonical query has a space.
fn asked(request: &Request) -> Vec<u8> {
    let query = request.target.canonical_query();
    let bucket = request.bucket.unwrap_or_default();
    [
        request.method.as_bytes(),
        b" ",
        bucket.as_bytes(),
        b" ",
        request.target.path(),
        b" ",
        &query,
    ]
    .concat()
}

#[cfg(test)]
mod tests {
    use super::super::target::Target;
    use super::*;

    fn get(memo: &mut Memo, method: &str, bucket: Option<&str>, path: &str, made: &str) -> String {
        let target = Target::parse(path.as_bytes()).unwrap();
        let request = Request {
            method,
            bucket,
            target: &target,
            headers: &[],
        };
        let got = memo.get(&request, || made.into());
        String::from_utf8_lossy(&got).into_owned()
    }

    #[test]
    fn what_differs_in_anything_is_made_anew() {
        let mut memo = Memo::default();
        let requests = [
            ("GET", Some("b"), "/a"),
            ("HEAD", Some("b"), "/a"),
            ("GET", Some("c"), "/a"),
            ("GET", None, "/a"),
            ("GET", None, "/b/a"),
            ("GET", Some("b"), "/a?x"),
            ("GET", Some("b"), "/a?x=1"),
            ("GET", Some("b"), "/a%20x"),
            ("GET", Some("b"), "/a?%20x"),
        ];
        for (at, (method, bucket, path)) in requests.into_iter().enumerate() {
            assert_eq!(
                get(&mut memo, method, bucket, path, &at.to_string()),
                at.to_string()
            );
        }
        // Made once where two have not got the same place.
        let again = requests
            .into_iter()
            .enumerate()
            .filter(|(at, (method, bucket, path))| {
                get(&mut memo, method, *bucket, path, "made again") == at.to_string()
            });
        assert!(again.count() >= 5);
    }

    #[test]
    fn it_does_not_grow() {
        let mut memo = Memo::default();
        for number in 0..10 * PLACES {
            let path = format!("/{number}");
            assert_eq!(get(&mut memo, "GET", None, &path, &path), path);
        }
        assert_eq!(memo.places.len(), PLACES);
        assert!(memo.places.iter().flatten().count() > PLACES / 2);
    }
}
