"""HLS and LL-HLS (RFC 8216bis): packaging, playlists and their routes."""
