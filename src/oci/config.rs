//! How an image is meant to be run, and what its layers unpack to.
//!
//! OCI image specification 1.1, "Image Configuration"; Docker's has the same fields and more.

use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::Platform;
use super::fields::{self, Fields};
use super::name::parse_digest;
use crate::base::Digest;
use crate::error::Result;

/// The configuration of an image. What is empty in the document is absent here.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageConfig {
    /// Go's name: `amd64`.
    pub architecture: String,
    /// `linux`.
    pub os: String,
    /// `v7`, where the architecture has several.
    pub variant: Option<String>,
    /// When it was made, as it is written (RFC 3339).
    pub created: Option<String>,
    /// User or uid, and group or gid after a colon.
    pub user: Option<String>,
    /// `NAME=value`, in order.
    pub env: Vec<String>,
    /// What is run, and always stays in front of the command.
    pub entrypoint: Vec<String>,
    /// The default command, or arguments of the entry point.
    pub cmd: Vec<String>,
    /// Where it is run.
    pub working_dir: Option<String>,
    /// Whatever its maker says.
    pub labels: BTreeMap<String, String>,
    /// `80/tcp`, sorted.
    pub exposed_ports: Vec<String>,
    /// Directories for data of the one who runs it, sorted.
    pub volumes: Vec<String>,
    /// What stops it: `SIGTERM`.
    pub stop_signal: Option<String>,
    /// The SHA-256 of each layer's uncompressed tar, from the lowest up.
    pub diff_ids: Vec<Digest>,
}

impl ImageConfig {
    /// Reads the document.
    ///
    /// # Errors
    /// [`Kind::Format`](crate::Kind::Format): it is none, or has a value of another type than the
    /// specification gives it.
    pub fn parse(bytes: &[u8]) -> Result<Self> {
        let document = fields::parse(bytes, MAX_CONFIG, DOCUMENT)?;
        let fields = Fields::of(&document, DOCUMENT)?;
        let Some(rootfs) = fields.object("rootfs")? else {
            return Err(fields.refuse("there is no rootfs"));
        };
        if rootfs.required("type")? != "layers" {
            return Err(rootfs.refuse("its type is not \"layers\""));
        }
        let ids = rootfs.texts("diff_ids")?;
        let nothing = json!({});
        let run = match fields.object("config")? {
            Some(run) => run,
            None => Fields::of(&nothing, DOCUMENT)?,
        };
        let word = |fields: &Fields<'_>, key: &str| {
            let text = fields.text(key)?.filter(|text| !text.is_empty());
            Ok::<_, crate::Error>(text.map(str::to_owned))
        };
        Ok(Self {
            architecture: fields.required("architecture")?.to_owned(),
            os: fields.required("os")?.to_owned(),
            variant: word(&fields, "variant")?,
            created: word(&fields, "created")?,
            user: word(&run, "User")?,
            env: run.texts("Env")?,
            entrypoint: run.texts("Entrypoint")?,
            cmd: run.texts("Cmd")?,
            working_dir: word(&run, "WorkingDir")?,
            labels: run.map("Labels")?,
            exposed_ports: keys(&run, "ExposedPorts")?,
            volumes: keys(&run, "Volumes")?,
            stop_signal: word(&run, "StopSignal")?,
            diff_ids: ids
                .iter()
                .map(|id| parse_digest(id))
                .collect::<Result<_>>()?,
        })
    }

    /// Which machine it is for.
    pub fn platform(&self) -> Platform {
        Platform {
            os: self.os.clone(),
            architecture: self.architecture.clone(),
            variant: self.variant.clone(),
        }
    }

    /// The configuration as one object, every field always there.
    pub fn to_json(&self) -> Value {
        let ids = self.diff_ids.iter().map(|id| format!("sha256:{id}"));
        json!({
            "architecture": self.architecture,
            "os": self.os,
            "variant": self.variant,
            "created": self.created,
            "user": self.user,
            "env": self.env,
            "entrypoint": self.entrypoint,
            "cmd": self.cmd,
            "working_dir": self.working_dir,
            "labels": self.labels,
            "exposed_ports": self.exposed_ports,
            "volumes": self.volumes,
            "stop_signal": self.stop_signal,
            "diff_ids": ids.collect::<Vec<_>>(),
        })
    }
}

/// The keys of a map whose values are empty objects: what Go makes of a set.
fn keys(fields: &Fields<'_>, key: &str) -> Result<Vec<String>> {
    let set = fields.object(key)?;
    let mut keys: Vec<String> = set.iter().flat_map(|set| set.map.keys().cloned()).collect();
    keys.sort();
    Ok(keys)
}

const DOCUMENT: &str = "image configuration";

/// As much as of a manifest, which it belongs to.
pub(super) const MAX_CONFIG: u64 = 4 << 20;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Kind;

    fn document() -> Value {
        json!({
            "architecture": "arm", "os": "linux", "variant": "v7",
            "created": "2026-11-21T07:09:08.288004492Z", "author": "somebody",
            "config": {
                "User": "1000:1000", "Env": ["PATH=/bin", "A=b=c"], "Entrypoint": ["/init"],
                "Cmd": ["/bin/sh", "-c", "x"], "WorkingDir": "/srv", "Labels": { "k": "v" },
                "ExposedPorts": { "80/tcp": {}, "443/tcp": {} }, "Volumes": { "/data": {} },
                "StopSignal": "SIGQUIT", "Hostname": "x",
            },
            "rootfs": { "type": "layers", "diff_ids": [format!("sha256:{}", "cd".repeat(32))] },
            "history": [],
        })
    }

    fn parse(document: &Value) -> Result<ImageConfig> {
        ImageConfig::parse(document.to_string().as_bytes())
    }

    #[test]
    fn everything_that_runs_it_is_read() {
        let config = parse(&document()).unwrap();
        assert_eq!(config.platform().to_string(), "linux/arm/v7");
        assert_eq!(config.exposed_ports, ["443/tcp", "80/tcp"]);
        let told = config.to_json();
        for (key, expect) in [
            ("user", json!("1000:1000")),
            ("env", json!(["PATH=/bin", "A=b=c"])),
            ("entrypoint", json!(["/init"])),
            ("cmd", json!(["/bin/sh", "-c", "x"])),
            ("working_dir", json!("/srv")),
            ("labels", json!({ "k": "v" })),
            ("volumes", json!(["/data"])),
            ("stop_signal", json!("SIGQUIT")),
            ("created", json!("2026-11-21T07:09:08.288004492Z")),
            ("diff_ids", json!([format!("sha256:{}", "cd".repeat(32))])),
        ] {
            assert_eq!(told[key], expect, "{key}");
        }
        let mut bare = document();
        bare["config"] = json!(null);
        bare["variant"] = json!("");
        let bare = parse(&bare).unwrap();
        assert_eq!((bare.variant, bare.cmd, bare.user), (None, vec![], None));
    }

    #[test]
    fn what_is_no_configuration_is_refused() {
        let top = |key: &str, value: Value| {
            let mut document = document();
            document[key] = value;
            document
        };
        let run = |key: &str, value: Value| {
            let mut document = document();
            document["config"][key] = value;
            document
        };
        for bad in [
            top("os", json!(null)),
            top("architecture", json!(1)),
            top("rootfs", json!(null)),
            top("rootfs", json!({ "type": "other", "diff_ids": [] })),
            top("rootfs", json!({ "diff_ids": [] })),
            top(
                "rootfs",
                json!({ "type": "layers", "diff_ids": ["md5:00"] }),
            ),
            top("rootfs", json!({ "type": "layers", "diff_ids": [1] })),
            top("config", json!([])),
            run("Env", json!("A=b")),
            run("Cmd", json!([1])),
            run("User", json!(0)),
            run("Labels", json!({ "a": 1 })),
            run("Volumes", json!(["/data"])),
            json!([]),
        ] {
            assert_eq!(parse(&bad).unwrap_err().kind(), Kind::Format, "{bad}");
        }
    }
}
