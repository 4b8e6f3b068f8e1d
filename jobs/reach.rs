//! Which addresses are the world's, and which lie inside somebody's house: this machine, its network, its cloud.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// Whether anybody outside could reach the same thing under this address.
pub fn is_public(ip: IpAddr) -> bool {
    match ip {
        IpAddr::V4(ip) => is_public_v4(ip),
        IpAddr::V6(ip) => is_public_v6(ip),
    }
}

/// Whether a server of that name or address is on this machine or in a private network. A name without a dot is a
/// neighbour's; the domains are set aside for such networks (RFC 6761, 6762 and 8375, ICANN's `internal`).
pub fn is_in_house(host: &str) -> bool {
    let host = host.trim_start_matches('[').trim_end_matches([']', '.']).to_ascii_lowercase();
    if let Ok(ip) = host.parse() {
        return !is_public(ip);
    }
    !host.contains('.')
        || [".localhost", ".invalid", ".test", ".internal", ".local", ".home.arpa"]
            .iter()
            .any(|domain| host.ends_with(domain))
}

fn is_public_v4(ip: Ipv4Addr) -> bool {
    let [a, b, c, _] = ip.octets();
    let shared = a == 100 && (64..128).contains(&b);
    let protocol = a == 192 && b == 0 && (c == 0 || c == 2);
    let relay = a == 192 && b == 88 && c == 99;
    let bench = a == 198 && (b == 18 || b == 19);
    !(ip.is_private()
        || ip.is_loopback()
        || ip.is_link_local()
        || ip.is_broadcast()
        || ip.is_documentation()
        || ip.is_multicast()
        || a == 0
        || a >= 240
        || shared
        || protocol
        || relay
        || bench)
}

fn is_public_v6(ip: Ipv6Addr) -> bool {
    let [first, second, third, .., seventh, eighth] = ip.segments();
    let v4 = |high: u16, low: u16| {
        let ([a, b], [c, d]) = (high.to_be_bytes(), low.to_be_bytes());
        is_public_v4(Ipv4Addr::new(a, b, c, d))
    };
    if let Some(mapped) = ip.to_ipv4_mapped() {
        return is_public_v4(mapped);
    }
    match first {
        // translated from IPv4 (NAT64): what stands in its last bits is asked; the local prefix is a house's own
        0x64 => second == 0xff9b && ip.segments()[2..6] == [0; 4] && v4(seventh, eighth),
        // 6to4 carries its IPv4 address in the second and third segment
        0x2002 => v4(second, third),
        // Teredo, benchmarks and the like below 0x200; documentation
        0x2001 if second == 0xdb8 || second < 0x200 => false,
        0x3fff if second < 0x1000 => false,
        _ => first & 0xe000 == 0x2000,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_lies_in_a_house_is_not_public_in_any_spelling() {
        for inside in [
            "0.0.0.0",
            "10.1.2.3",
            "100.64.0.1",
            "100.127.255.255",
            "127.0.0.1",
            "127.255.0.9",
            "169.254.169.254",
            "172.16.0.1",
            "172.31.255.255",
            "192.0.0.170",
            "192.0.2.1",
            "192.88.99.1",
            "192.168.0.1",
            "198.18.0.1",
            "198.51.100.1",
            "203.0.113.1",
            "224.0.0.1",
            "240.0.0.1",
            "255.255.255.255",
            "::",
            "::1",
            "::7f00:1",
            "::ffff:127.0.0.1",
            "::ffff:169.254.169.254",
            "::ffff:100.64.0.1",
            "64:ff9b::7f00:1",
            "64:ff9b::a9fe:a9fe",
            "64:ff9b::6440:1",
            "64:ff9b:1::808:808",
            "64:ff9b:1:2::808:808",
            "100::1",
            "2001::1",
            "2001:db8::1",
            "2002:7f00:1::",
            "2002:a9fe:a9fe::1",
            "3fff::1",
            "fc00::1",
            "fd00:ec2::254",
            "fe80::1",
            "fec0::1",
            "ff02::1",
        ] {
            assert!(!is_public(inside.parse().expect(inside)), "{inside}");
        }
    }

    #[test]
    fn a_server_is_in_the_house_by_its_address_or_by_a_name_that_nobody_outside_has() {
        for inside in [
            "localhost",
            "127.0.0.1",
            "[::1]",
            "10.0.0.7",
            "redis",
            "REDIS.railway.internal.",
            "pg.local",
            "no.invalid",
        ] {
            assert!(is_in_house(inside), "{inside}");
        }
        for outside in
            ["8.8.8.8", "[2606:4700::1111]", "ep-x.neon.tech", "internal.example.com", "local.example"]
        {
            assert!(!is_in_house(outside), "{outside}");
        }
    }

    #[test]
    fn what_anybody_can_reach_is_public() {
        for outside in [
            "1.1.1.1",
            "8.8.8.8",
            "99.255.255.255",
            "100.128.0.1",
            "172.32.0.1",
            "192.0.1.1",
            "::ffff:8.8.8.8",
            "64:ff9b::808:808",
            "2002:808:808::1",
            "2606:4700::1111",
            "2a00:1450::1",
        ] {
            assert!(is_public(outside.parse().expect(outside)), "{outside}");
        }
    }
}
