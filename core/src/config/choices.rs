//! Settings whose value is one of a few words.

use crate::words::words;

words! {
    /// The setting `signature_version`: the signature versions of OSS.
    pub enum SignatureVersion {
        /// Version 4, which every bucket accepts.
        V4 = "v4",
        /// Version 1, for buckets created before September 2025.
        V1 = "v1",
    }
}

words! {
    /// The setting `methods`: the methods that a route can allow.
    pub enum Method {
        /// Reads an object.
        Get = "GET",
        /// Reads the headers of an object.
        Head = "HEAD",
        /// Writes an object.
        Put = "PUT",
        /// Writes an object by a form, or performs one of several operations.
        Post = "POST",
        /// Deletes an object.
        Delete = "DELETE",
        /// Asks which requests CORS allows.
        Options = "OPTIONS",
    }
}

impl Method {
    /// The methods that a route allows by default.
    pub const DEFAULT: [Method; 2] = [Method::Get, Method::Head];

    /// Whether the method changes something.
    pub fn is_write(self) -> bool {
        matches!(self, Method::Put | Method::Post | Method::Delete)
    }

    /// Whether the method reads an object.
    pub fn is_read(self) -> bool {
        matches!(self, Method::Get | Method::Head)
    }
}

words! {
    /// The setting `unknown_parameters`: what happens to parameters that OSS does not know.
    pub enum UnknownParameters {
        /// The parameters are dropped.
        Strip = "strip",
        /// The parameters are forwarded.
        Forward = "forward",
    }
}

words! {
    /// The setting `presigned_urls`: what happens to a client's URL that is signed for OSS.
    pub enum PresignedUrls {
        /// The request is refused.
        Refuse = "refuse",
        /// The signature is dropped, and the request is signed like any other.
        Strip = "strip",
        /// The request is forwarded unchanged, without a signature of ours.
        Pass = "pass",
        /// The same as `pass`, but a request without a signed URL is refused.
        Require = "require",
    }
}

words! {
    /// The setting `dot_segments`: what happens to `.` and `..` in a path.
    pub enum DotSegments {
        /// The segments are part of the key.
        Literal = "literal",
        /// The request is refused.
        Refuse = "refuse",
    }
}

words! {
    /// The setting `path_encoding`: which encodings of a path are accepted.
    pub enum PathEncoding {
        /// Every encoding is accepted.
        Any = "any",
        /// Only the canonical encoding is accepted.
        Canonical = "canonical",
    }
}

words! {
    /// The setting `addressing`: where a request to `endpoint` names the bucket.
    pub enum Addressing {
        /// The host names the bucket.
        VirtualHosted = "virtual_hosted",
        /// The path names the bucket.
        PathStyle = "path_style",
        /// Nothing names the bucket: the endpoint is the bucket's own domain.
        Cname = "cname",
    }
}

words! {
    /// The setting `ranges`: the answer to a range that reaches past the end of the object.
    pub enum Ranges {
        /// The HTTP standard: the available part of the range, or 416.
        Standard = "standard",
        /// The default of OSS: the whole object.
        Oss = "oss",
    }
}

words! {
    /// The setting `forced_download`: what happens to the headers by which OSS makes a browser
    /// download an object instead of showing it.
    pub enum ForcedDownload {
        /// The headers stay.
        Keep = "keep",
        /// The headers are removed.
        Remove = "remove",
    }
}

words! {
    /// The setting `errors`: what a client sees of an error of OSS.
    pub enum Errors {
        /// A neutral text that does not name the origin.
        Neutral = "neutral",
        /// The error of OSS, without the parts that repeat the request.
        Oss = "oss",
    }
}

words! {
    /// The setting `metadata`: where Envoy's metadata may hold settings.
    pub enum MetadataOf {
        /// The metadata of Envoy's route.
        Route = "route",
        /// The metadata of Envoy's cluster.
        Cluster = "cluster",
    }
}
