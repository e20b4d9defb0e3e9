//! `oss-origin-auth doctor` where somebody else answers in OSS's place: a portal, a server
//! with other certificates, one that chooses the time.

use std::process::Command;

use serde_json::json;
use testkit::alibaba::HOST;
use testkit::process::Process;
use testkit::recorder::Answer;
use testkit::{FakeAlibaba, Recorder, tools};

use crate::common::certificate::{Certificate, self_signed};
use crate::common::doctor::{Doctor, alibaba, prepared, settings};

/// A doctor that asks a place by TLS, and trusts the authorities of a file.
fn by_tls(alibaba: &FakeAlibaba, port: u16, ca: &str) -> Doctor {
    let place = format!("127.0.0.1:{port}");
    let arguments = ["--config", &settings(&json!({})), "--object", "a"];
    Doctor::new(alibaba, &arguments).with(&["--connect", &place, "--ca", ca])
}

#[test]
fn a_portal_is_told_from_oss() {
    let alibaba = alibaba();
    let portal = Recorder::answering(|_| {
        let headers = [
            ("content-type", "text/html"),
            ("date", "Fri, 27 Nov 2026 10:00:00 GMT"),
        ];
        Answer::new(200, &headers, b"<html>sesame</html>")
    });
    let doctor = Doctor::at(&alibaba, portal.port, &json!({})).with(&["--object", "a"]);
    let said = doctor.json();
    assert_eq!(said.code, 3, "{}", said.text);
    for check in ["clock", "head", "get", "unsigned"] {
        said.assert(check, "unknown", "something else than OSS answers there");
    }
}

#[test]
fn nobody_chooses_the_time_of_our_signatures() {
    let alibaba = alibaba();
    let hostile = Recorder::answering(|_| {
        let headers = [
            ("date", "Fri, 01 Jan 2100 00:00:00 GMT"),
            ("x-oss-request-id", "6A00"),
        ];
        Answer::new(403, &headers, b"<Error><Code>AccessDenied</Code></Error>")
    });
    let doctor = Doctor::at(&alibaba, hostile.port, &json!({})).with(&["--object", "a"]);
    let said = doctor.json();
    said.assert("clock", "failed", "signed by this machine's time");
    let dates: Vec<String> = hostile
        .seen()
        .iter()
        .flat_map(|seen| {
            seen.header("x-oss-date")
                .into_iter()
                .map(str::to_owned)
                .collect::<Vec<_>>()
        })
        .collect();
    assert!(!dates.is_empty());
    assert!(
        dates.iter().all(|date| !date.starts_with("2100")),
        "{dates:?}"
    );
}

#[test]
fn the_time_of_oss_is_believed_by_tls() {
    let certificate = self_signed(HOST);
    let alibaba = prepared(FakeAlibaba::start_with_tls(
        &certificate.folder.join("both.pem"),
    ));
    alibaba.set("clock_offset", json!(1200));
    let ca = certificate.folder.join("tls.crt").display().to_string();
    let doctor = by_tls(&alibaba, alibaba.oss_tls_port.unwrap(), &ca);
    // Nobody confirms it.
    let said = doctor
        .set("ALIBABA_CLOUD_STS_ENDPOINT", "http://127.0.0.1:1")
        .json();
    said.assert("clock", "failed", "signed by OSS's time");
    said.assert("get", "ok", "200");
}

#[test]
fn a_certificate_of_an_authority_is_no_servers() {
    let authority = Certificate::of_authority(HOST);
    let alibaba = prepared(FakeAlibaba::start_with_tls(
        &authority.folder.join("both.pem"),
    ));
    let ca = authority.folder.join("tls.crt").display().to_string();
    let said = by_tls(&alibaba, alibaba.oss_tls_port.unwrap(), &ca).json();
    said.assert("tls", "failed", "that of an authority (CA:TRUE)");
    said.assert(
        "tls",
        "failed",
        "a certificate that the authority has issued",
    );
}

/// Wants a certificate of the client's, by a version of TLS.
const WANTING: &str = "
import socket, ssl, sys
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain(sys.argv[1])
context.load_verify_locations(sys.argv[1])
context.verify_mode = ssl.CERT_REQUIRED
context.maximum_version = ssl.TLSVersion[sys.argv[2]]
listener = socket.create_server(('127.0.0.1', 0))
print('port', listener.getsockname()[1], flush=True)
while True:
    stream, _ = listener.accept()
    stream.settimeout(30)
    try:
        context.wrap_socket(stream, server_side=True).close()
    except OSError:
        stream.close()
";

#[test]
fn whoever_wants_a_certificate_of_ours_is_not_oss() {
    let alibaba = alibaba();
    let certificate = self_signed(HOST);
    let both = certificate.folder.join("both.pem");
    let ca = certificate.folder.join("tls.crt").display().to_string();
    for version in ["TLSv1_2", "TLSv1_3"] {
        let mut command = Command::new(tools::python());
        command.args(["-c", WANTING]).arg(&both).arg(version);
        let mut server = Process::start("wanting", &mut command);
        let port = server.wait_for_output("the server", |output| {
            let line = output.lines().find_map(|line| line.strip_prefix("port "))?;
            line.parse().ok()
        });
        let said = by_tls(&alibaba, port, &ca).json();
        said.assert("tls", "failed", "requires a client certificate");
        said.assert("tls", "failed", "something else answers there");
        said.assert("get", "skipped", "OSS was not reached");
    }
}
