"""GStreamer's webrtcbin at one end of WHIP or WHEP. For the system's Python, which has GStreamer's packages.

gstreamer_webrtc.py publish URL KEY    a test picture and a tone, until a line or the end of standard input
gstreamer_webrtc.py play URL           prints a line for every second in which it decoded picture and sound

Says "connected" when it is; ends with what the server answered if that is no 201.
"""

import sys
import threading
import urllib.error
import urllib.request
from urllib.parse import urljoin

import gi

gi.require_version("Gst", "1.0")
gi.require_version("GstSdp", "1.0")
gi.require_version("GstWebRTC", "1.0")
from gi.repository import GLib, Gst, GstSdp, GstWebRTC  # noqa: E402

WEBRTC = "webrtcbin name=webrtc bundle-policy=max-bundle latency=50"
PUBLISH = f"""{WEBRTC}
    videotestsrc is-live=true ! video/x-raw,width=320,height=240,framerate=30/1
        ! x264enc tune=zerolatency speed-preset=ultrafast key-int-max=30 bitrate=400
        ! video/x-h264,profile=constrained-baseline
        ! rtph264pay config-interval=-1 aggregate-mode=zero-latency
        ! application/x-rtp,media=video,encoding-name=H264,payload=102 ! webrtc.
    audiotestsrc is-live=true ! audio/x-raw,rate=48000,channels=2 ! opusenc ! rtpopuspay
        ! application/x-rtp,media=audio,encoding-name=OPUS,payload=111 ! webrtc."""
H264 = (
    "application/x-rtp,media=video,encoding-name=H264,payload=102,clock-rate=90000,"
    "packetization-mode=(string)1,profile-level-id=(string)42e01f,rtcp-fb-nack=true,rtcp-fb-nack-pli=true"
)
OPUS = (
    "application/x-rtp,media=audio,encoding-name=OPUS,payload=111,clock-rate=48000,encoding-params=(string)2"
)
DECODE = {
    "video": "rtph264depay ! h264parse ! avdec_h264 ! videoconvert ! fakesink name=sink sync=false",
    "audio": "rtpopusdepay ! opusdec ! audioconvert ! fakesink name=sink sync=false",
}


class Peer:
    """One end; what webrtcbin calls comes in threads of GStreamer's."""

    def __init__(self, url: str, key: str | None) -> None:
        self.loop = GLib.MainLoop()
        self.frames = {"video": 0, "audio": 0}
        self.session: str | None = None
        self._url = url
        self._key = key
        self.pipeline = Gst.parse_launch(WEBRTC if key is None else PUBLISH)
        self.webrtc = self.pipeline.get_by_name("webrtc") or self.pipeline
        if key is None:
            bin_ = Gst.Pipeline.new(None)
            bin_.add(self.webrtc)
            self.pipeline = bin_
        self.webrtc.connect("on-negotiation-needed", self._offer)
        self.webrtc.connect("notify::ice-gathering-state", self._gathered)
        self.webrtc.connect("notify::connection-state", self._changed)
        self.webrtc.connect("pad-added", self._decode)

    def receive(self) -> None:
        """Ask for one picture and one sound."""
        for caps in (H264, OPUS):
            direction = GstWebRTC.WebRTCRTPTransceiverDirection.RECVONLY
            self.webrtc.emit("add-transceiver", direction, Gst.Caps.from_string(caps))

    def run(self) -> None:
        self.pipeline.set_state(Gst.State.PLAYING)
        GLib.timeout_add(1000, self._report)
        threading.Thread(target=self._until_told, daemon=True).start()
        self.loop.run()
        if self.session is not None:
            self._request("DELETE", self.session, None)
        self.pipeline.set_state(Gst.State.NULL)

    def _until_told(self) -> None:
        sys.stdin.readline()
        self.loop.quit()

    def _report(self) -> bool:
        counted, self.frames = self.frames, {"video": 0, "audio": 0}
        if counted["video"] and counted["audio"]:
            say(f"decoded {counted['video']} pictures and {counted['audio']} sounds")
        return True

    def _offer(self, webrtc: Gst.Element) -> None:
        webrtc.emit("create-offer", None, Gst.Promise.new_with_change_func(self._offered, None))

    def _offered(self, promise: Gst.Promise, _data: object) -> None:
        reply = promise.get_reply()  # what it holds lives no longer than it does
        offer = reply.get_value("offer")
        self.webrtc.emit("set-local-description", offer, Gst.Promise.new())

    def _gathered(self, webrtc: Gst.Element, _property: object) -> None:
        if webrtc.get_property("ice-gathering-state") == GstWebRTC.WebRTCICEGatheringState.COMPLETE:
            GLib.idle_add(self._exchange)

    def _exchange(self) -> bool:
        text = self.webrtc.get_property("local-description").sdp.as_text()
        answer = self._request("POST", self._url, text)
        if not answer:
            return False
        _, message = GstSdp.SDPMessage.new_from_text(answer)
        description = GstWebRTC.WebRTCSessionDescription.new(GstWebRTC.WebRTCSDPType.ANSWER, message)
        self.webrtc.emit("set-remote-description", description, Gst.Promise.new())
        return False

    def _request(self, method: str, url: str, body: str | None) -> str:
        request = urllib.request.Request(url, body.encode() if body else None, method=method)
        request.add_header("Content-Type", "application/sdp")
        if self._key:
            request.add_header("Authorization", f"Bearer {self._key}")
        try:
            with urllib.request.urlopen(request, timeout=10) as response:
                if method == "POST":
                    self.session = urljoin(url, response.headers["Location"])
                return response.read().decode()
        except urllib.error.HTTPError as error:
            say(f"refused {method} {error.code} {error.read().decode()}")
            self.loop.quit()
            return ""

    def _changed(self, webrtc: Gst.Element, _property: object) -> None:
        say(webrtc.get_property("connection-state").value_nick)

    def _decode(self, _webrtc: Gst.Element, pad: Gst.Pad) -> None:
        if pad.get_direction() != Gst.PadDirection.SRC:
            return
        kind = pad.get_current_caps().get_structure(0).get_string("media")
        decoder = Gst.parse_bin_from_description(DECODE[kind], True)
        sink = decoder.get_by_name("sink")
        sink.set_property("signal-handoffs", True)
        sink.connect("handoff", self._count, kind)
        self.pipeline.add(decoder)
        decoder.sync_state_with_parent()
        pad.link(decoder.get_static_pad("sink"))

    def _count(self, _sink: Gst.Element, _buffer: Gst.Buffer, _pad: Gst.Pad, kind: str) -> None:
        self.frames[kind] += 1


def say(line: str) -> None:
    print(line, flush=True)


def main() -> None:
    Gst.init(None)
    mode, url, *rest = sys.argv[1:]
    peer = Peer(url, rest[0] if mode == "publish" else None)
    if mode == "play":
        peer.receive()
    peer.run()


if __name__ == "__main__":
    main()
