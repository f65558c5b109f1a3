use super::*;

const PAGE: &str = "/images/cloud/trixie/";

/// The names on a page; directories end in a slash.
fn check(html: &str, expect: &[&str]) {
    let listing = Listing::parse(html, PAGE).unwrap();
    let shown = listing.entries.iter().map(|entry| {
        let slash = if entry.directory { "/" } else { "" };
        format!("{}{slash}", entry.name)
    });
    assert_eq!(shown.collect::<Vec<_>>(), expect, "{html}");
}

fn link(href: &str) -> String {
    format!("<a href=\"{href}\">x</a>")
}

#[test]
fn the_pages_of_every_server() {
    // Apache, fancy.
    check(
        "<table><tr><th><a href=\"?C=N;O=D\">Name</a></th></tr>\n\
         <tr><td><img src=\"/icons/back.gif\" alt=\"[PARENTDIR]\"></td><td>\
         <a href=\"/images/cloud/\">Parent Directory</a></td></tr>\n\
         <tr><td><a href=\"20260712-2537/\">20260712-2537/</a></td></tr>\n\
         <tr><td><a href=\"20260701-2500/\">20260701-2500/</a></td></tr>\n\
         <tr><td><a href=\"SHA512SUMS\">SHA512SUMS</a></td></tr></table>\n\
         <address>Apache at <a href=\"https://example.org/\">example.org</a></address>",
        &["20260701-2500/", "20260712-2537/", "SHA512SUMS"],
    );
    // nginx.
    check(
        "<h1>Index of /live/</h1><hr><pre><a href=\"../\">../</a>\n\
         <a href=\"20250202/\">20250202/</a>  02-Feb-2025 17:12  -\n\
         <a href=\"void-x86_64-ROOTFS.tar.xz\">void-x86_64-RO..&gt;</a> 1\n</pre>",
        &["20250202/", "void-x86_64-ROOTFS.tar.xz"],
    );
    // lighttpd.
    check(
        "<tr class=\"d\"><td class=\"n\"><a href=\"../\">..</a>/</td></tr>\
         <tr class=\"d\"><td class=\"n\"><a href=\"v3.24/\">v3.24</a>/</td></tr>",
        &["v3.24/"],
    );
    // Caddy.
    check(
        "<a href=\"..\"><span>Up</span></a>\n<a href=\"./20260128_13:00/\">\n\
         <svg><use xlink:href=\"#folder\"></use></svg>\n<span class=\"name\">x</span></a>",
        &["20260128_13:00/"],
    );
    // By hand.
    check(
        "<A class=x HREF='a b.img'>x</A><a\nhref = c.img >c</a><a href=a%20b.img>",
        &["a b.img", "c.img"],
    );
}

#[test]
fn a_link_names_what_is_one_level_below() {
    for (href, expect) in [
        ("name", Some("name")),
        ("./name/", Some("name/")),
        (" name ", Some("name")),
        ("20260128_13:00/", Some("20260128_13:00/")),
        ("20260128_13%3A00/", Some("20260128_13:00/")),
        ("20260128_13&#58;00/", Some("20260128_13:00/")),
        ("20260128_13&#x3a;00/", Some("20260128_13:00/")),
        ("a&amp;b", Some("a&b")),
        ("a&b", Some("a&b")),
        ("a&amp;colon;b", Some("a&colon;b")),
        ("c%2B%2b", Some("c++")),
        ("%252e%252e", Some("%2e%2e")),
        ("/images/cloud/trixie/name/", Some("name/")),
        ("/images/cloud/tri%78ie/name", Some("name")),
        ("/images/cloud/trixie/", None),
        ("/images/cloud/", None),
        ("/images/cloud/name", None),
        ("/images/cloud/trixie/a/b", None),
        ("/images/cloud/trixie//b", None),
        ("/images/cloud/trixie/../b", None),
        ("/name", None),
        ("//images/cloud/trixie/name", None),
        ("//host/name", None),
        ("images/cloud/trixie/name", None),
        ("a/b", None),
        ("a//", None),
        ("././a", None),
        ("..", None),
        ("../", None),
        ("../name", None),
        (".", None),
        ("./", None),
        ("/", None),
        ("", None),
        ("%2e%2e/", None),
        ("&period;&period;/", None),
        ("a%2fb", None),
        ("a%5cb", None),
        ("a\\b", None),
        ("a&sol;b", None),
        ("a%00b", None),
        ("a%0ab", None),
        ("a&#10;b", None),
        ("a%zz", Some("a%zz")),
        ("a%2", Some("a%2")),
        ("%ff", None),
        ("?C=N;O=D", None),
        ("name?x", None),
        ("name#x", None),
        ("#name", None),
        ("https://example.org/images/cloud/trixie/name", None),
        ("http:name", None),
        ("javascript:name", None),
        ("mailto&colon;name", None),
    ] {
        check(&link(href), expect.as_slice());
    }
    assert_eq!(
        Listing::parse(&link("/name/"), "/").unwrap().entries.len(),
        1,
        "the root has an empty name"
    );
    check(&link(&"x".repeat(MAX_NAME + 1)), &[]);
}

#[test]
fn only_links_count_and_each_once() {
    for html in [
        "<!-- <a href=\"a\"> -->",
        "<!-- <a href=\"a\">",
        "<area href=\"a\"><link href=\"a\"><abbr href=\"a\">",
        "<a data-href=\"a\">",
        "<a href>",
        "<a href=",
        "<a href=\"a",
        "href=\"a\"",
        "<a title=\"href='a'\">",
        "&lt;a href=\"a\"&gt;",
        "",
    ] {
        check(html, &[]);
    }
    check(
        "<a href=b href=c><a href=a/><a href=b><a href=\"a\">",
        &["a", "a/", "b"],
    );
}

#[test]
fn half_of_a_page_is_no_listing() {
    let many: String = (0..=MAX_ENTRIES)
        .map(|nth| link(&nth.to_string()))
        .collect();
    assert_eq!(Listing::parse(&many, PAGE), Err(TooLong));
    assert_eq!(
        Listing::parse(&" ".repeat(MAX_BYTES + 1), PAGE),
        Err(TooLong)
    );
}
