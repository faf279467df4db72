"""Live streaming server: the roof over rtmp, sfu, control_api, chat and storage."""
