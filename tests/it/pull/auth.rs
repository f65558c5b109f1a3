//! Who is told what: tokens, passwords, helpers, redirects (HOSTILE 88 to 90).

use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::Stdio;

use serde_json::{Value, json};

use super::kit::{Shelf, authorizations, name, path_of, small, with_home};
use crate::harness::{Lab, Said, distro_fetch};
use crate::server::{Seen, Server, Step, reply};

/// What a configuration file says, for a host.
type Config<'a> = &'a dyn Fn(&str) -> Value;

/// `me:secret`.
const BASIC: &str = "Basic bWU6c2VjcmV0";

fn unauthorized(challenge: &str) -> Vec<Step> {
    reply(
        "401 Unauthorized",
        &[("WWW-Authenticate", challenge)],
        b"{}",
    )
}

/// A registry that lets in who brings this, and asks everybody else.
fn guarded(shelf: &Shelf, authorization: &'static str, challenge: String) -> Server {
    let shelf = shelf.clone();
    Server::start(move |seen, _| {
        if seen.header("authorization") == Some(authorization) {
            shelf.answer(seen)
        } else {
            unauthorized(&challenge)
        }
    })
}

/// A token server that gives this token to whoever satisfies it.
fn realm(token: &'static str, good: fn(&Seen) -> bool) -> Server {
    Server::start(move |seen, _| {
        if good(seen) {
            let body = json!({ "token": token, "access_token": token }).to_string();
            reply("200 OK", &[], body.as_bytes())
        } else {
            reply("401 Unauthorized", &[], b"{}")
        }
    })
}

fn bearer(realm: &Server) -> String {
    format!(r#"Bearer realm="{}",service="test""#, realm.url("/token"))
}

fn nothing_secret(said: &Said) {
    for word in ["secret", "bWU6", "t0ken", "refr3sh"] {
        let told = said.stdout.contains(word) || said.stderr.contains(word);
        assert!(!told, "{word}: {said:?}");
    }
}

#[test]
fn tokens_for_nobody_in_particular() {
    let (shelf, _, pinned) = small();
    let realm = realm("t0ken", |seen| seen.header("authorization").is_none());
    let server = guarded(&shelf, "Bearer t0ken", bearer(&realm));
    let lab = Lab::new();
    let said = lab.run(&["pull", &name(&server, ":one")]);
    assert_eq!(
        said.stdout.trim_end(),
        name(&server, &format!("@{pinned}")),
        "{said:?}"
    );
    assert_eq!(realm.seen().len(), 1, "one token is enough");
    assert!(
        realm.seen()[0]
            .target
            .contains("scope=repository:demo:pull")
    );
    nothing_secret(&said);
}

#[test]
fn logins_of_config_files() {
    let (shelf, _, _) = small();
    let basic = || guarded(&shelf, BASIC, "Basic realm=\"x\"".to_owned());
    let by_password = || realm("t0ken", |seen| seen.header("authorization") == Some(BASIC));
    let by_refresh = || {
        realm("t0ken", |seen| {
            let form = [
                "grant_type=refresh_token",
                "refresh_token=refr3sh",
                "service=test",
            ];
            seen.method == "POST" && form.iter().all(|it| seen.body.contains(it))
        })
    };
    let auth = |entry: Value| move |host: &str| json!({ "auths": { host: entry } });
    let password = auth(json!({ "auth": "bWU6c2VjcmV0" }));
    let identity = auth(json!({ "auth": "bWU6", "identitytoken": "refr3sh" }));
    let token = auth(json!({ "registrytoken": "t0ken" }));
    let cases: [(&str, Option<Server>, Config<'_>); 4] = [
        ("Basic", None, &password),
        ("a password for a token", Some(by_password()), &password),
        ("a refresh token", Some(by_refresh()), &identity),
        ("a token", Some(by_password()), &token),
    ];
    for (what, realm, config) in cases {
        let server = match &realm {
            None => basic(),
            Some(realm) => guarded(&shelf, "Bearer t0ken", bearer(realm)),
        };
        let host = format!("127.0.0.1:{}", server.port());
        let lab = Lab::new();
        let reference = name(&server, ":one");
        let refused = with_home(&lab, None, &["pull", &reference]);
        assert_eq!(refused.code, Some(5), "{what}: {refused:?}");
        let said = with_home(&lab, Some(&config(&host)), &["pull", &reference]);
        assert_eq!(said.code, Some(0), "{what}: {said:?}");
        nothing_secret(&said);
        nothing_secret(&refused);
        // Somebody else's login is nobody's business here.
        let other = with_home(
            &Lab::new(),
            Some(&config("other.example")),
            &["pull", &reference],
        );
        assert_eq!(other.code, Some(5), "{what}: {other:?}");
    }
}

#[test]
fn a_user_and_a_password_from_stdin() {
    let (shelf, _, _) = small();
    let server = guarded(&shelf, BASIC, "Basic realm=\"x\"".to_owned());
    for (password, code) in [("secret\n", 0), ("other", 5), ("", 2)] {
        let lab = Lab::new();
        let mut child = distro_fetch()
            .arg("--cache-dir")
            .arg(lab.cache())
            .args(["--retries", "0", "pull", &name(&server, ":one")])
            .args(["--username", "me", "--password-stdin"])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        let mut stdin = child.stdin.take().unwrap();
        stdin.write_all(password.as_bytes()).unwrap();
        drop(stdin);
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{password:?}: {told}");
        assert!(!told.contains("secret"), "{told}");
    }
    let lab = Lab::new();
    let said = lab.run(&["pull", "--username", "me", &name(&server, ":one")]);
    assert_eq!(said.code, Some(2), "{said:?}");
}

#[test]
fn helpers_are_asked_when_a_registry_asks() {
    let (shelf, open, _) = small();
    let server = guarded(&shelf, BASIC, "Basic realm=\"x\"".to_owned());
    let lab = Lab::new();
    let _ = path_of(&lab);
    let log = lab.path("asked");
    let helper = lab.path("bin/docker-credential-demo");
    let script = format!(
        "#!/bin/sh\nread host\necho \"$1 $host\" >> {}\n\
         echo '{{\"Username\":\"me\",\"Secret\":\"secret\"}}'\n",
        log.display()
    );
    fs::write(&helper, script).unwrap();
    fs::set_permissions(&helper, fs::Permissions::from_mode(0o755)).unwrap();
    let host = format!("127.0.0.1:{}", server.port());
    let store = json!({ "credsStore": "demo", "auths": { host.as_str(): {} } });
    let said = with_home(&lab, Some(&store), &["pull", &name(&open, ":one")]);
    assert_eq!(said.code, Some(0), "{said:?}");
    assert!(!log.exists(), "nobody asked who we are");
    let one = json!({ "credHelpers": { host.as_str(): "demo" } });
    for config in [store, one] {
        let _ = fs::remove_dir_all(lab.cache());
        let _ = fs::remove_file(&log);
        let said = with_home(&lab, Some(&config), &["pull", &name(&server, ":one")]);
        assert_eq!(said.code, Some(0), "{said:?}");
        assert_eq!(
            fs::read_to_string(&log).unwrap(),
            format!("get {host}\n"),
            "once"
        );
        nothing_secret(&said);
    }
    // A name that is a way to somewhere else.
    let evil = lab.path("evil");
    fs::copy(&helper, &evil).unwrap();
    let _ = fs::remove_file(&log);
    for bad in ["../evil", "../../evil", "a b", "demo;true", "Demo"] {
        let _ = fs::remove_dir_all(lab.cache());
        let config = json!({ "credHelpers": { host.as_str(): bad } });
        let said = with_home(&lab, Some(&config), &["pull", &name(&server, ":one")]);
        assert_eq!(said.code, Some(8), "{bad}: {said:?}");
        assert!(!log.exists(), "{bad}");
    }
}

#[test]
fn a_realm_elsewhere_hears_nothing() {
    let (shelf, _, _) = small();
    for address in [
        "http://169.254.169.254/latest",
        "http://127.0.0.1.evil.example/token",
        "https://auth.example/token",
        "file:///etc/passwd",
        "token",
    ] {
        let server = guarded(&shelf, BASIC, format!(r#"Bearer realm="{address}""#));
        let host = format!("127.0.0.1:{}", server.port());
        let config = json!({ "auths": { host: { "auth": "bWU6c2VjcmV0" } } });
        let said = with_home(
            &Lab::new(),
            Some(&config),
            &["pull", &name(&server, ":one")],
        );
        assert_eq!(said.code, Some(5), "{address}: {said:?}");
        assert!(said.stderr.contains("the realm"), "{address}: {said:?}");
        assert_eq!(authorizations(&server), Vec::<String>::new(), "{address}");
        nothing_secret(&said);
    }
}

/// Whoever we are sent to gets no password, and no answer to its own question.
#[test]
fn redirects_carry_nothing() {
    let (shelf, _, pinned) = small();
    let content = {
        let shelf = shelf.clone();
        Server::start(move |seen, _| shelf.answer(seen))
    };
    let asking = Server::start(|_, _| unauthorized("Basic realm=\"give it to me\""));
    for (elsewhere, code) in [(&content, 0), (&asking, 5)] {
        let target = elsewhere.url("");
        let inner = shelf.clone();
        let server = Server::start(move |seen, _| {
            if seen.header("authorization") != Some(BASIC) {
                unauthorized("Basic realm=\"x\"")
            } else if seen.target.contains("/blobs/") {
                let location = format!("{target}{}", seen.target);
                reply("307 Temporary Redirect", &[("Location", &location)], b"")
            } else {
                inner.answer(seen)
            }
        });
        let host = format!("127.0.0.1:{}", server.port());
        let config = json!({ "auths": {
            host: { "auth": "bWU6c2VjcmV0" },
            format!("127.0.0.1:{}", elsewhere.port()): { "auth": "bWU6c2VjcmV0" },
        } });
        let reference = name(&server, &format!("@{pinned}"));
        let said = with_home(&Lab::new(), Some(&config), &["pull", &reference]);
        assert_eq!(said.code, Some(code), "{said:?}");
        assert!(!elsewhere.seen().is_empty());
        assert_eq!(authorizations(elsewhere), Vec::<String>::new());
        nothing_secret(&said);
    }
}
