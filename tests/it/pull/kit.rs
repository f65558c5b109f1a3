//! Images made to measure, and a registry that has them.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

use crate::harness::{Lab, Said, distro_fetch, said, sha256};
use crate::server::{Seen, Server, Step, file, reply};

pub(super) const MANIFEST: &str = "application/vnd.oci.image.manifest.v1+json";
pub(super) const INDEX: &str = "application/vnd.oci.image.index.v1+json";
pub(super) const CONFIG: &str = "application/vnd.oci.image.config.v1+json";
pub(super) const LAYER: &str = "application/vnd.oci.image.layer.v1.tar+gzip";

/// What is on a server, by the end of its path: the type, the bytes.
#[derive(Clone, Default)]
pub(crate) struct Shelf(Arc<Mutex<BTreeMap<String, Item>>>);

/// A type, and bytes.
type Item = (String, Vec<u8>);

impl Shelf {
    pub(super) fn put(&self, path: &str, media_type: &str, bytes: &[u8]) {
        let item = (media_type.to_owned(), bytes.to_vec());
        self.0.lock().unwrap().insert(path.to_owned(), item);
    }

    pub(super) fn get(&self, path: &str) -> Option<Item> {
        self.0.lock().unwrap().get(path).cloned()
    }

    /// A manifest or index, under its digest and perhaps a tag.
    pub(crate) fn manifest(&self, tag: Option<&str>, document: &Value) -> String {
        let bytes = document.to_string().into_bytes();
        let media_type = document["mediaType"].as_str().unwrap_or(MANIFEST);
        let digest = digest(&bytes);
        for name in tag.into_iter().chain([&*digest]) {
            self.put(&format!("manifests/{name}"), media_type, &bytes);
        }
        digest
    }

    /// A blob; its descriptor.
    pub(super) fn blob(&self, media_type: &str, bytes: &[u8]) -> Value {
        let digest = digest(bytes);
        self.put(
            &format!("blobs/{digest}"),
            "application/octet-stream",
            bytes,
        );
        json!({ "mediaType": media_type, "digest": digest, "size": bytes.len() })
    }

    /// An image with these layers; its manifest, which is not put there yet.
    pub(crate) fn image(&self, platform: &str, layers: &[&[u8]]) -> Value {
        let words: Vec<&str> = platform.split('/').collect();
        let ids = layers.iter().map(|layer| digest(layer));
        let mut config = json!({
            "os": words[0], "architecture": words[1],
            "config": { "Cmd": ["/bin/sh"], "Labels": { "made": "for tests" } },
            "rootfs": { "type": "layers", "diff_ids": ids.collect::<Vec<_>>() },
        });
        if let Some(variant) = words.get(2) {
            config["variant"] = json!(variant);
        }
        let config = config.to_string();
        json!({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": self.blob(CONFIG, config.as_bytes()),
            "layers": layers.iter().map(|it| self.blob(LAYER, it)).collect::<Vec<_>>(),
        })
    }

    /// An index of images that are there, each with its platform.
    pub(super) fn index(&self, images: &[(&str, &Value)]) -> Value {
        let manifests = images.iter().map(|(platform, document)| {
            let mut entry = self.descriptor(document);
            if *platform != "-" {
                let words: Vec<&str> = platform.split('/').collect();
                entry["platform"] = json!({ "os": words[0], "architecture": words[1] });
                if let Some(variant) = words.get(2) {
                    entry["platform"]["variant"] = json!(variant);
                }
            }
            entry
        });
        json!({
            "schemaVersion": 2, "mediaType": INDEX, "manifests": manifests.collect::<Vec<_>>(),
        })
    }

    /// Puts a manifest there; its descriptor.
    pub(super) fn descriptor(&self, document: &Value) -> Value {
        let digest = self.manifest(None, document);
        json!({
            "mediaType": document["mediaType"], "digest": digest,
            "size": document.to_string().len(),
        })
    }

    /// What a good registry answers.
    pub(super) fn answer(&self, seen: &Seen) -> Vec<Step> {
        let path = ["manifests/", "blobs/"]
            .iter()
            .find_map(|kind| seen.target.find(kind))
            .map_or("", |at| &seen.target[at..]);
        match self.get(path) {
            None => reply("404 Not Found", &[], b"{}"),
            Some((_, bytes)) if path.starts_with("blobs/") => file(&bytes, seen),
            Some((media_type, bytes)) => reply("200 OK", &[("Content-Type", &media_type)], &bytes),
        }
    }

    pub(crate) fn serve(&self) -> Server {
        let items = self.clone();
        Server::start(move |seen, _| items.answer(seen))
    }
}

pub(super) fn digest(bytes: &[u8]) -> String {
    format!("sha256:{}", sha256(bytes))
}

/// `127.0.0.1:PORT/demo` and an end: `:tag`, `@sha256:…`.
pub(super) fn name(server: &Server, end: &str) -> String {
    format!("127.0.0.1:{}/demo{end}", server.port())
}

/// A registry with one small image behind the tag `one`; the digest of its manifest.
pub(super) fn small() -> (Shelf, Server, String) {
    let shelf = Shelf::default();
    let image = shelf.image("linux/amd64", &[b"a lower layer", b"an upper layer"]);
    let digest = shelf.manifest(Some("one"), &image);
    let server = shelf.serve();
    (shelf, server, digest)
}

/// The digests of all blobs in the cache.
pub(super) fn blobs(lab: &Lab) -> Vec<String> {
    let prefix = "v1/oci/blobs/sha256/";
    let files = lab.cached_files().into_iter();
    files
        .filter_map(|name| Some(name.strip_prefix(prefix)?.to_owned()))
        .collect()
}

/// Every `Authorization` that a server was sent.
pub(super) fn authorizations(server: &Server) -> Vec<String> {
    let seen = server.seen();
    let values = seen.iter().filter_map(|seen| seen.header("authorization"));
    values.map(str::to_owned).collect()
}

/// The paths that a server was asked for, without the part that every one has.
pub(super) fn asked(server: &Server) -> Vec<String> {
    let seen = server.seen().into_iter();
    seen.map(|seen| seen.target.replace("/v2/demo/", ""))
        .collect()
}

/// The program with a home of its own, whose `.docker/config.json` is this.
pub(super) fn with_home(lab: &Lab, config: Option<&Value>, arguments: &[&str]) -> Said {
    let home = lab.path("home");
    std::fs::create_dir_all(home.join(".docker")).unwrap();
    if let Some(config) = config {
        std::fs::write(home.join(".docker/config.json"), config.to_string()).unwrap();
    }
    let mut command = distro_fetch();
    command
        .env("HOME", &home)
        .env("PATH", path_of(lab))
        .arg("--cache-dir")
        .arg(lab.cache())
        .args(["--retries", "0"])
        .args(arguments);
    said(&mut command)
}

/// A `PATH` that begins with a directory of the lab, which is made.
pub(super) fn path_of(lab: &Lab) -> String {
    let bin: PathBuf = lab.path("bin");
    std::fs::create_dir_all(&bin).unwrap();
    format!("{}:/usr/bin:/bin", bin.display())
}
