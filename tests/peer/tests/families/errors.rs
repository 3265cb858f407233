//! What a pull comes to when the image or the registry is at fault.

use anyhow::{Context as _, Result};
use cofferdam_peer::images::usual;
use cofferdam_peer::registry::{Reply, Store, name};
use cofferdam_peer::{Family, Seen, Side, run_family, wanted};
use cofferdam_test_images::image::{INDEX_TYPE, Image, ImageSpec, blob_of, descriptor};
use cofferdam_test_images::layer::{Blob, Layer};
use serde_json::{Value, json};

/// A registry that holds one fault by each name.
type Faults = Vec<(&'static str, Store)>;

#[test]
#[ignore = "takes containerd and runc from Go modules: make peer"]
fn bad_images_and_registries_give_the_same_errors() -> Result<()> {
    let mut store = good()?;
    let mut names = Vec::new();
    for part in [documents, blobs, answers] {
        // A runtime keeps what it has once pulled, so that each case has an image of its own.
        let cases: Vec<&str> = part(&image("any")?)?.into_iter().map(|(case, _)| case).collect();
        for case in cases {
            let faults = part(&image(case)?)?.into_iter().find(|(name, _)| *name == case);
            store = store.merge(faults.context(case)?.1);
            names.push(case);
        }
    }
    let list = include_str!("../../differences/errors.txt");
    run_family(&Family { name: "errors", list }, store, async |side, seen| {
        for case in names.iter().filter(|case| wanted(case)) {
            pull(side, case, &json!({"image": {"image": name(case)}}), seen).await?;
        }
        for (case, request) in requests().into_iter().filter(|(case, _)| wanted(case)) {
            pull(side, case, &request, seen).await?;
        }
        Ok(())
    })
}

/// Whether the image can be pulled, and whether it is there afterwards.
async fn pull(side: &Side, case: &str, request: &Value, seen: &mut Seen) -> Result<()> {
    let known = side.known();
    let answer = side.observe("PullImage", request.clone(), &known).await?;
    let status = side.observe("ImageStatus", json!({"image": request["image"], "verbose": false}), &known).await?;
    let pulled = answer.get("image_ref").is_some();
    // Every field of a status is compared among the states; here it counts whether there is an image.
    let there = !status["image"].is_null();
    let answer = if pulled { json!("pulled") } else { answer };
    seen.insert(case.to_owned(), json!({"PullImage": answer, "there afterwards": there}));
    if pulled {
        side.call("RemoveImage", json!({"image": request["image"]})).await?.ok();
    }
    Ok(())
}

/// Requests that are odd by themselves, or that need credentials.
fn requests() -> Vec<(&'static str, Value)> {
    let named = |image: &str| json!({"image": {"image": image}});
    let with = |auth: Value| json!({"image": {"image": name("guarded")}, "auth": auth});
    vec![
        ("no name", named("")),
        ("upper case", named("127.0.0.1:5001/Peer/image")),
        ("bad digest", named("127.0.0.1:5001/peer/good@sha256:123")),
        ("unknown digest", named(&format!("127.0.0.1:5001/peer/good@sha256:{}", "0".repeat(64)))),
        ("no scheme", named("http://127.0.0.1:5001/peer/good")),
        ("tag and unknown digest", named(&format!("127.0.0.1:5001/peer/good:latest@sha256:{}", "0".repeat(64)))),
        ("nobody listens", named("127.0.0.1:5009/peer/good:latest")),
        ("no such host", named("none.invalid/peer/good:latest")),
        ("good credentials", with(json!({"username": "user", "password": "secret"}))),
        ("good credentials, encoded", with(json!({"auth": "dXNlcjpzZWNyZXQ="}))),
        ("wrong credentials", with(json!({"username": "user", "password": "wrong"}))),
        ("credentials that are no base64", with(json!({"auth": "%%%"}))),
        (
            "credentials for another server",
            with(json!({"username": "user", "password": "secret", "server_address": "https://other.example"})),
        ),
    ]
}

/// An image that differs from any other.
fn image(case: &str) -> Result<Image> {
    usual(&Layer::new().file("file", 0o644, format!("{case} ").repeat(500))).build()
}

fn good() -> Result<Store> {
    let image = &image("good")?;
    let basic = || Reply::new(401, "application/json", "{}").header("WWW-Authenticate: Basic realm=\"peer\"");
    Ok(Store::default().image("good", image).image("guarded", image).guard(
        "guarded",
        "Basic dXNlcjpzZWNyZXQ=",
        basic(),
    ))
}

/// An index in an index.
fn nested(image: &Image) -> Result<Store> {
    let inner = index(&[platform(image, "amd64")])?;
    let mut entry = descriptor(INDEX_TYPE, &inner);
    entry["platform"] = json!({"architecture": "amd64", "os": "linux"});
    let outer = index(&[entry])?;
    let store = Store::default().image("nested-index", image).manifest("nested-index", INDEX_TYPE, &inner);
    Ok(store.manifest("nested-index", INDEX_TYPE, &outer))
}

fn platform(image: &Image, architecture: &str) -> Value {
    let mut entry = descriptor(image.media_type, &image.manifest);
    entry["platform"] = json!({"architecture": architecture, "os": "linux"});
    entry
}

fn index(manifests: &[Value]) -> Result<Blob> {
    blob_of(&json!({"schemaVersion": 2, "mediaType": INDEX_TYPE, "manifests": manifests}))
}

/// Manifests, indexes and configs that are wrong.
fn documents(image: &Image) -> Result<Faults> {
    let config_type = "application/vnd.oci.image.config.v1+json";
    let manifest = |config: &Blob, layers: Value| {
        blob_of(&json!({
            "schemaVersion": 2, "mediaType": image.media_type, "config": descriptor(config_type, config), "layers": layers,
        }))
    };
    let layers: Value = serde_json::from_slice::<Value>(&image.manifest.data)?["layers"].clone();
    let with_manifest = |name: &'static str, blob: &Blob| {
        (name, Store::default().image(name, image).manifest(name, image.media_type, blob))
    };
    let with_config = |name: &'static str, config: &Blob| -> Result<_> {
        let store = Store::default().image(name, image).blob(name, config);
        Ok((name, store.manifest(name, image.media_type, &manifest(config, layers.clone())?)))
    };
    let with_index = |name: &'static str, entries: &[Value]| -> Result<_> {
        Ok((name, Store::default().image(name, image).manifest(name, INDEX_TYPE, &index(entries)?)))
    };
    let mut odd_layer = layers.clone();
    odd_layer[0]["mediaType"] = json!("application/vnd.example.unknown");
    let mut foreign = layers.clone();
    foreign[0]["mediaType"] = json!("application/vnd.oci.image.layer.nondistributable.v1.tar+gzip");
    let mut size = layers.clone();
    size[0]["size"] = json!(7);
    let mut config: Value = serde_json::from_slice(&image.config.data)?;
    config["rootfs"]["diff_ids"][0] = json!(format!("sha256:{}", "1".repeat(64)));
    let wrong_diff_id = blob_of(&config)?;
    config["rootfs"]["diff_ids"] = json!([]);
    let no_diff_ids = blob_of(&config)?;
    let foreign_image = ImageSpec::new().architecture("s390x").build()?;
    Ok(vec![
        ("nested-index", nested(image)?),
        with_index("index-without-our-platform", &[platform(image, "s390x")])?,
        with_index("index-with-nothing", &[])?,
        with_index("index-without-platforms", &[descriptor(image.media_type, &image.manifest)])?,
        with_index("index-with-a-missing-manifest", &[{
            let mut entry = platform(image, "amd64");
            entry["digest"] = json!(format!("sha256:{}", "2".repeat(64)));
            entry
        }])?,
        ("foreign-architecture", Store::default().image("foreign-architecture", &foreign_image)),
        with_manifest("manifest-no-json", &Blob::new(b"{ not json".to_vec())),
        with_manifest("manifest-empty", &Blob::new(Vec::new())),
        with_manifest("manifest-without-config", &blob_of(&json!({"schemaVersion": 2, "mediaType": image.media_type, "layers": []}))?),
        with_manifest("layer-of-unknown-type", &manifest(&image.config, odd_layer)?),
        with_manifest("layer-not-distributable", &manifest(&image.config, foreign)?),
        with_manifest("layer-of-another-size", &manifest(&image.config, size)?),
        with_manifest("fewer-layers-than-diff-ids", &manifest(&image.config, json!([]))?),
        with_config("config-no-json", &Blob::new(b"nothing".to_vec()))?,
        with_config("wrong-diff-id", &wrong_diff_id)?,
        with_config("no-diff-ids", &no_diff_ids)?,
        ("schema-1", Store::default().reply("schema-1", "manifests/latest", Reply::new(
            200, "application/vnd.docker.distribution.manifest.v1+prettyjws",
            r#"{"schemaVersion":1,"name":"peer/schema-1","tag":"latest","architecture":"amd64","fsLayers":[],"history":[]}"#,
        ))),
    ])
}

/// Blobs that are not what the manifest says.
fn blobs(image: &Image) -> Result<Faults> {
    let path = format!("blobs/{}", image.layers[1].digest);
    let config = format!("blobs/{}", image.config.digest);
    let stream = "application/octet-stream";
    let data = &image.layers[1].data;
    let fault = |name: &'static str, path: &str, reply: Reply| {
        (name, Store::default().image(name, image).reply(name, path, reply))
    };
    let mut flipped = data.clone();
    flipped[20] ^= 0xff;
    Ok(vec![
        fault("blob-cut", &path, Reply::new(200, stream, data.clone()).cut(data.len() / 2)),
        fault("blob-shorter", &path, Reply::new(200, stream, data[..data.len() / 2].to_vec())),
        fault("blob-longer", &path, Reply::new(200, stream, [data.as_slice(), b"more"].concat())),
        fault("blob-with-another-content", &path, Reply::new(200, stream, flipped)),
        fault("blob-not-there", &path, Reply::new(404, "application/json", "{}")),
        fault("blob-500", &path, Reply::new(500, "text/plain", "broken")),
        fault("config-not-there", &config, Reply::new(404, "application/json", "{}")),
        fault("config-cut", &config, Reply::new(200, stream, image.config.data.clone()).cut(10)),
        fault(
            "blob-elsewhere",
            &path,
            Reply::new(307, "text/plain", "").header("Location: http://127.0.0.1:5001/elsewhere"),
        )
        .elsewhere(data),
        fault(
            "blob-in-a-loop",
            &path,
            Reply::new(307, "text/plain", "").header(&format!("Location: /v2/peer/blob-in-a-loop/{path}")),
        ),
    ])
}

trait Elsewhere {
    fn elsewhere(self, data: &[u8]) -> Self;
}

impl Elsewhere for (&'static str, Store) {
    /// Lets `/elsewhere` answer with the blob.
    fn elsewhere(self, data: &[u8]) -> Self {
        (self.0, self.1.at("/elsewhere", Reply::new(200, "application/octet-stream", data)))
    }
}

/// What the registry says in place of a manifest.
fn answers(image: &Image) -> Result<Faults> {
    let json = "application/json";
    let code = |code: &str| format!(r#"{{"errors":[{{"code":"{code}","message":"of the registry"}}]}}"#);
    let fault = |name: &'static str, reply: Reply| {
        (name, Store::default().image(name, image).reply(name, "manifests/latest", reply))
    };
    let manifest = || Reply::new(200, image.media_type, image.manifest.data.clone());
    let bearer = "WWW-Authenticate: Bearer realm=\"http://127.0.0.1:5001/token\",service=\"peer\"";
    let mut faults = vec![
        ("not-there", Store::default()),
        fault("answer-401", Reply::new(401, json, code("UNAUTHORIZED"))),
        fault(
            "answer-401-basic",
            Reply::new(401, json, code("UNAUTHORIZED")).header("WWW-Authenticate: Basic realm=\"x\""),
        ),
        fault("answer-403", Reply::new(403, json, code("DENIED"))),
        fault("answer-429", Reply::new(429, json, code("TOOMANYREQUESTS")).header("Retry-After: 0")),
        fault("answer-500", Reply::new(500, json, code("UNKNOWN"))),
        fault("answer-503", Reply::new(503, "text/html", "<h1>busy</h1>")),
        fault("answer-204", Reply::new(204, json, "")),
        fault("answer-418", Reply::new(418, json, "{}")),
        fault("wrong-digest-header", manifest().header(&format!("Docker-Content-Digest: sha256:{}", "3".repeat(64)))),
        fault("no-digest-header", manifest()),
        fault("web-page", Reply::new(200, "text/html", "<html><body>Welcome</body></html>")),
        fault("manifest-cut", manifest().cut(20)),
        fault("manifest-as-json", Reply::new(200, json, image.manifest.data.clone())),
    ];
    let refused = |name: &'static str| {
        Store::default().image(name, image).guard(name, "Bearer good", Reply::new(401, json, "{}").header(bearer))
    };
    faults.push(("token-refused", refused("token-refused").at("/token", Reply::new(401, json, code("UNAUTHORIZED")))));
    Ok(faults)
}
