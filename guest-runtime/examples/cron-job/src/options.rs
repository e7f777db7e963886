//! The arguments of the job.

use alloc::format;
use alloc::string::{String, ToString};
use core::time::Duration;
use ukvm_http::url::Url;
use ukvm_net_stack::{Config, Options as NetworkOptions};

/// How long each step may take if nothing else is said.
const TIMEOUT: Duration = Duration::from_secs(30);
/// The longest timeout in seconds: a day.
const MOST_SECONDS: u64 = 86_400;
/// The largest file that FAT can hold, in bytes.
pub const LARGEST_FILE: u64 = u32::MAX as u64;
/// The name of a file whose URL ends with a slash.
const INDEX: &str = "index.html";

/// What the arguments say: those of the [network](NetworkOptions), and
///
/// | argument | |
/// |---|---|
/// | `URL` | what to fetch |
/// | `--output NAME` | the file on the disk; the end of the URL's path if not given |
/// | `--timeout SECONDS` | how long each step may take, 1 to 86400; 30 if not given |
/// | `--max-size SIZE` | the most bytes of the file, as in `800`, `64K`, `10M` or `1G`; 4 GiB less one if not given |
#[derive(Clone, Debug)]
pub struct Options {
    /// Addresses, gateways, servers of names.
    pub network: Config,
    /// What to fetch.
    pub url: Url,
    /// The path of the file on the disk.
    pub output: String,
    /// How long each step may take.
    pub timeout: Duration,
    /// The most bytes of the file.
    pub max_size: u64,
}

impl Options {
    /// Reads the arguments.
    ///
    /// # Errors
    ///
    /// What is wrong with them, as a sentence.
    pub fn parse<'a>(arguments: impl IntoIterator<Item = &'a str>) -> Result<Self, String> {
        let (network, others) = NetworkOptions::parse(arguments).map_err(|error| error.to_string())?;
        let network = client_only(network)?;
        let (mut url, mut output, mut timeout, mut max_size) = (None, None, TIMEOUT, LARGEST_FILE);
        let mut others = others.into_iter();
        while let Some(argument) = others.next() {
            if !argument.starts_with('-') {
                let parsed =
                    Url::parse(argument.as_bytes()).map_err(|error| format!("`{argument}`: {error}"))?;
                if url.replace(parsed).is_some() {
                    return Err(format!("`{argument}` is one URL too many: give one"));
                }
                continue;
            }
            let (name, value) = match argument.split_once('=') {
                Some((name, value)) => (name, Some(value)),
                None => (argument, None),
            };
            if !matches!(name, "--output" | "--timeout" | "--max-size") {
                return Err(format!(
                    "`{argument}` is not known here: use a URL and --ip, --hostname, --gateway, --dns, --output, \
                     --timeout, --max-size"
                ));
            }
            let value = value.or_else(|| others.next());
            let value = value.ok_or_else(|| format!("{name} needs a value: add it behind {name}"))?;
            let no_good = |what: &str| format!("`{value}` is no good for {name}: it is {what}");
            match name {
                "--output" => output = Some(file_name(value).map_err(|what| no_good(&what))?),
                "--timeout" => match value.parse() {
                    Ok(seconds @ 1..=MOST_SECONDS) => timeout = Duration::from_secs(seconds),
                    _ => return Err(no_good(&format!("1 to {MOST_SECONDS} seconds"))),
                },
                _ => {
                    let size = bytes(value).filter(|size| (1..=LARGEST_FILE).contains(size));
                    max_size = size.ok_or_else(|| {
                        no_good("a number of bytes such as 800, 64K, 10M or 1G, less than 4G as FAT allows no more")
                    })?;
                }
            }
        }
        let url = url.ok_or("there is no URL: give one, such as http://example.org/data.csv")?;
        let output = match output {
            Some(output) => output,
            None if url.last_segment().is_empty() => INDEX.into(),
            None => file_name(url.last_segment()).map_err(|what| {
                format!(
                    "`{}` of the URL cannot be the file's name, which is {what}: give one with --output",
                    url.last_segment()
                )
            })?,
        };
        Ok(Self { network, url, output, timeout, max_size })
    }
}

/// The network's options, if they make sense for who only asks others.
fn client_only(options: NetworkOptions) -> Result<Config, String> {
    let NetworkOptions { config, port } = options;
    if port.is_some() {
        return Err("--port is for servers: write the port into the URL".into());
    }
    if config.max_connections.is_some() {
        return Err("--max-connections is for servers: leave it out".into());
    }
    if config.addresses.is_empty() && !config.dhcp && !config.slaac {
        return Err("there is no address: give --ip dhcp, --ip slaac or --ip ADDRESS/PREFIX".into());
    }
    Ok(config)
}

/// A path on FAT; or what would be one.
fn file_name(text: &str) -> Result<String, String> {
    /// The most units of UTF-16 that a name of FAT has.
    const MOST: usize = 255;
    let is_name = |name: &str| {
        !name.is_empty()
            && !name.ends_with(['.', ' '])
            && name.encode_utf16().count() <= MOST
            && !name.contains(|c: char| c.is_control() || "\"*/:<>?\\|".contains(c))
    };
    if text.split('/').all(is_name) {
        return Ok(text.into());
    }
    Err(format!(
        "a name that FAT can hold, of up to {MOST} characters without \" * : < > ? \\ |, and no dot or space at its end"
    ))
}

/// A number of bytes with the letter of its unit.
fn bytes(text: &str) -> Option<u64> {
    let (digits, unit) = match text.as_bytes().last()? {
        b'K' | b'k' => (&text[..text.len() - 1], 1 << 10),
        b'M' | b'm' => (&text[..text.len() - 1], 1 << 20),
        b'G' | b'g' => (&text[..text.len() - 1], 1 << 30),
        _ => (text, 1),
    };
    let is_number = !digits.is_empty() && digits.bytes().all(|digit| digit.is_ascii_digit());
    is_number.then(|| digits.parse::<u64>().ok()?.checked_mul(unit)).flatten()
}
