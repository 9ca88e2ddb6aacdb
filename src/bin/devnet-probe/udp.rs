//! A UDP echo, for trying what has no connection.

use std::net::UdpSocket;

/// Sends back whatever arrives, until told to end.
pub(crate) fn echo(port: u16) -> Result<(), String> {
    crate::signals::end_when_told();
    let socket = UdpSocket::bind(("0.0.0.0", port))
        .map_err(|error| format!("bind 0.0.0.0:{port}/udp: {error}"))?;
    println!("udp-echo: listening on 0.0.0.0:{port}");
    let mut buffer = vec![0; 65_535];
    loop {
        let (length, from) = socket
            .recv_from(&mut buffer)
            .map_err(|error| error.to_string())?;
        println!("{length} bytes from {from}");
        // the asker may be gone already
        let _gone = socket.send_to(&buffer[..length], from);
    }
}
