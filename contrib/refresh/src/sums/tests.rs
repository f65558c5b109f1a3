use super::*;

const A: &str = "6bc2cde3930ad088b3bb46fa45279e96d25bc3810f209850ecbe4722711874f9";
const B: &str = "7b2dced6dd56ad5e4a813fa25c8de307b655fdabc6ea9213175a92c48dabb048";

fn long() -> String {
    A.repeat(2)
}

fn entry(sha256: Option<&str>, sha512: Option<&str>, size: Option<u64>) -> Entry {
    Entry {
        sha256: sha256.map(|text| text.parse().unwrap()),
        sha512: sha512.map(|text| decode_hex(text).unwrap()),
        size,
    }
}

/// What a document says about `f.img`.
fn check(document: &str, expect: &Result<Entry, SumsError>) {
    let found = Sums::parse(document).and_then(|sums| sums.find("f.img"));
    assert_eq!(&found, expect, "{document}");
}

#[test]
fn every_dialect() {
    let c = long();
    let one = Ok(entry(Some(A), None, None));
    for document in [
        format!("{A}  f.img\n"),
        format!("{A} *f.img\n"),
        format!("{A} f.img\n"),
        format!("{A}\tf.img"),
        format!("{A}  ./f.img\n"),
        format!("{}  f.img\n", A.to_uppercase()),
        format!("\u{feff}{A}  f.img\r\n{B}  g.img\r\n"),
        format!("SHA256 (f.img) = {A}\n"),
        format!("SHA256(f.img)= {A}\n"),
        format!("SHA2-256(./f.img)= {A}\n"),
        format!("# a comment\n\n{A}  f.img \n# another\n"),
        format!("{A}  f.img\n{B}  F.img\n"),
        format!("\\{A}  f.img\n"),
        format!("MD5 (f.img) = {}\nSHA256 (f.img) = {A}\n", &A[..32]),
        format!("SHA512/256 (f.img) = {B}\nSHA256 (f.img) = {A}\n"),
        // The same twice is once.
        format!("{A}  f.img\n{A} *./f.img\nSHA256 (f.img) = {A}\n"),
    ] {
        check(&document, &one);
    }
    check(&format!("{c}  f.img\n"), &Ok(entry(None, Some(&c), None)));
    check(
        &format!("# f.img: 66049080 bytes\nSHA256 (f.img) = {A}\nSHA512 (f.img) = {c}\n"),
        &Ok(entry(Some(A), Some(&c), Some(66_049_080))),
    );
}

#[test]
fn a_name_is_whole_or_not_at_all() {
    let missing = Err(SumsError::Missing("f.img".to_owned()));
    for name in [
        "prefix-f.img",
        "f.img.zst",
        "dir/f.img",
        "../f.img",
        "/f.img",
        "././f.img",
        "f.img\t#",
        " f.img",
        "**f.img",
        "F.IMG",
        "f.im",
        "f%2eimg",
    ] {
        check(&format!("{A}  {name}\n"), &missing);
        check(&format!("SHA256 ({name}) = {A}\n"), &missing);
    }
    check(&format!("{A}  g.img\n# f.img: 3 bytes\n"), &missing);
    check(&format!("{A}  g.img\n{B}\n"), &missing);
    check(&format!("\\{A}  f.img\\x\n{A}  g\n"), &missing);

    let odd = Sums::parse(&format!(
        "\\{A}  a\\\\b\\nc\n{A}  a\\nb\nSHA256 (a) = b) = {B}\n"
    ));
    let odd = odd.unwrap();
    assert!(odd.find("a\\b\nc").is_ok(), "escapes are undone");
    assert!(odd.find("a\\nb").is_ok(), "and only where they are said");
    assert!(
        odd.find("a) = b").is_ok(),
        "the last parenthesis ends the name"
    );
}

#[test]
fn a_doubtful_file_is_an_error_of_that_file() {
    let file = || "f.img".to_owned();
    for (document, expect) in [
        (
            format!("{A}  f.img\n{B}  f.img\n"),
            SumsError::Conflict(file()),
        ),
        (
            format!("{A}  f.img\n{B} *./f.img\n"),
            SumsError::Conflict(file()),
        ),
        (
            format!("# f.img: 1 bytes\n# f.img: 2 bytes\n{A}  f.img\n"),
            SumsError::Conflict(file()),
        ),
        (
            format!("{}  f.img\n{A}  g\n", &A[1..]),
            SumsError::WrongLength(file()),
        ),
        (
            format!("{A}  f.img\n{}  f.img\n", &long()[..127]),
            SumsError::WrongLength(file()),
        ),
        (
            format!("SHA512 (f.img) = {A}\n{A}  g\n"),
            SumsError::WrongLength(file()),
        ),
        (
            format!("SHA256 (f.img) = {}\n{A}  g\n", long()),
            SumsError::WrongLength(file()),
        ),
        (
            format!("{}  f.img\n", &A[..32]),
            SumsError::OtherAlgorithm(file()),
        ),
        (
            format!("{}  f.img\n", &A[..40]),
            SumsError::OtherAlgorithm(file()),
        ),
        (
            format!("BLAKE2b (f.img) = {}\n", long()),
            SumsError::OtherAlgorithm(file()),
        ),
    ] {
        check(&document, &Err(expect));
        // The file beside it does not suffer.
        let sums = Sums::parse(&format!("{document}\n{B}  fine\n")).unwrap();
        assert_eq!(sums.find("fine"), Ok(entry(Some(B), None, None)));
    }
}

#[test]
fn what_is_no_list_says_so() {
    for (document, html) in [
        ("", false),
        ("\n\n# f.img: 3 bytes\n", false),
        ("404 not found\n", false),
        (
            "<!DOCTYPE html>\n<html><a href=\"f.img\">f.img</a></html>",
            true,
        ),
        (&A[1..], false),
    ] {
        check(document, &Err(SumsError::NoChecksums { html }));
    }
    check(&"\n".repeat(MAX_LINES + 1), &Err(SumsError::TooLong));
    check(&"#".repeat(MAX_BYTES + 1), &Err(SumsError::TooLong));
    let long = format!("{A}  {}\n{A}  f.img", "x".repeat(MAX_NAME + 1));
    assert_eq!(Sums::parse(&long).unwrap().names().count(), 1);
}

#[test]
fn a_hash_alone_is_about_the_file_beside_it() {
    for document in [
        A.to_owned(),
        format!("{A}\n"),
        format!("\u{feff}# x\r\n{A}\r\n"),
    ] {
        let sums = Sums::parse(&document).unwrap();
        assert_eq!(sums.find_beside("f.img"), Ok(entry(Some(A), None, None)));
        assert_eq!(
            sums.find("f.img"),
            Err(SumsError::Missing("f.img".to_owned()))
        );
        assert_eq!(sums.find(""), Err(SumsError::Missing(String::new())));
    }
    // With a name, the name counts; two hashes are no answer.
    let named = Sums::parse(&format!("{A}  g.img\n")).unwrap();
    assert!(named.find_beside("f.img").is_err());
    assert!(named.find_beside("g.img").is_ok());
    assert!(Sums::parse(&format!("{A}\n{B}\n")).is_err());
    assert!(Sums::parse(&format!("\\{A}\n")).is_err());
}

/// Fedora's document as it is published, the signature left out.
const FEDORA: &str = "\
-----BEGIN PGP SIGNED MESSAGE-----
Hash: SHA256

# Fedora-Container-Base-Generic-44-1.7.aarch64.oci.tar.xz: 66049080 bytes
SHA256 (Fedora-Container-Base-Generic-44-1.7.aarch64.oci.tar.xz) = eca19542a48a8e39b84e869713a1fa2408cbcc578de26c25ae72e3334ef968c1
# Fedora-Container-Base-Generic-Minimal-44-1.7.aarch64.oci.tar.xz: 51427176 bytes
SHA256 (Fedora-Container-Base-Generic-Minimal-44-1.7.aarch64.oci.tar.xz) = 2c00fc0e7890a5bfecbd243561e5a2d07d2661667e1b897eab549b83f6b1db9a
-----BEGIN PGP SIGNATURE-----

wsBzBAEBCAAdFiEE
-----END PGP SIGNATURE-----
";

#[test]
fn a_wrapper_is_taken_off() {
    let sums = Sums::parse(FEDORA).unwrap();
    let found = sums.find("Fedora-Container-Base-Generic-44-1.7.aarch64.oci.tar.xz");
    let hash = "eca19542a48a8e39b84e869713a1fa2408cbcc578de26c25ae72e3334ef968c1";
    assert_eq!(found, Ok(entry(Some(hash), None, Some(66_049_080))));
    assert_eq!(sums.names().count(), 2);
    // What stands outside of it is no part of the list.
    let around = format!("{A}  f.img\n{FEDORA}{B}  f.img\n");
    assert!(matches!(
        Sums::parse(&around).unwrap().find("f.img"),
        Err(SumsError::Missing(_))
    ));
    let cut = FEDORA.split_inclusive('\n').take(7).collect::<String>();
    assert!(matches!(Sums::parse(&cut), Err(SumsError::Wrapper(_))));
}
