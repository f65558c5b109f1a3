//! A tar becomes an EROFS image: `cargo run --release --example erofs -- rootfs.tar.gz rootfs.erofs`.

use std::fs::File;
use std::path::Path;

use distro_fetch::archive::{Checks, Decoder, Format, Limits, Reader};
use distro_fetch::event::Silent;
use distro_fetch::fsimg::erofs::{self, Options};
use distro_fetch::tree::{Dialect, Keep, Layer, Spool, Window};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let arguments: Vec<String> = std::env::args().collect();
    let [_, archive, image] = arguments.as_slice() else {
        return Err("an archive and an image, please".into());
    };
    let format = Format::of_file_name(archive).ok_or("not the name of an archive")?;
    let limits = Limits::default();
    let window = Window::whole(File::open(archive)?.into())?;
    let layer = if format == Format::Plain {
        // Contents stay where they are.
        let reader = Reader::new(window.clone(), limits);
        let keep = Keep::InPlace(window);
        Layer::read(reader, Dialect::Plain, keep, limits, || Ok(()))?.0
    } else {
        let folder = Path::new(image).parent().filter(|it| it != &Path::new(""));
        let spool = Spool::create(folder.unwrap_or(Path::new(".")))?;
        let decoder = Decoder::new(window, format, &limits, Checks::Verify)?;
        let reader = Reader::new(decoder.threaded(), limits);
        Layer::read(
            reader,
            Dialect::Plain,
            Keep::Spool(spool),
            limits,
            || Ok(()),
        )?
        .0
    };
    let tree = layer.into_tree().ok_or("a layer is no tree")?;
    let output = File::options()
        .read(true)
        .write(true)
        .create_new(true)
        .open(image)?;
    erofs::write(&tree, &output, &Options::default(), &Silent, archive)?;
    Ok(())
}
