"""WebRTC publishers and viewers without codecs: real ICE, DTLS and SRTP, and media only by its outside."""
