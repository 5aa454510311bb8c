"""One connection to the broker, by aiomqtt and paho.

aiomqtt 2.5.1's own `publish` needs a task and a timer for each message in flight, and takes a publish that the broker
refused for a delivered one. So aiomqtt connects, keeps alive and disconnects; messages and PUBACKs, with their reason
codes, go by `gateway.mqtt.corked`. Each connection has a client of its own: only the outbox sends anything again.
"""

import asyncio
import logging
import socket
from collections.abc import Callable
from typing import Any, Final, cast

import aiomqtt
import paho.mqtt.client as paho
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.subscribeoptions import SubscribeOptions

from gateway.mqtt.broker import Broker
from gateway.mqtt.corked import LARGEST_PACKET, CorkedSocket, TooLargeError
from gateway.mqtt.outbox import Inbox, Message

_LOG: Final = logging.getLogger(__name__)
_LIBRARY_LOG: Final = logging.getLogger(f"{__name__}.library")
_LIBRARY_LOG.setLevel(logging.WARNING)

_WINDOW: Final = 50  # messages in flight; paho's cost per message grows with it
_KEEPALIVE_S: Final = 15
_CONNECT_S: Final = 2.0  # TCP, and again TLS; a stop has to wait for it
_CONNACK_S: Final = 5.0
_LISTEN_S: Final = 2.0  # until a subscription that was refused is asked for again
_TAKES: Final = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]  # and MQTT 3.1.1 cannot say it
_TAKES.MaximumPacketSize = LARGEST_PACKET
_AS_PUBLISHED: Final = SubscribeOptions(qos=1, retainAsPublished=True)


class ClosedEarlyError(aiomqtt.MqttError):
    """The connection ended before CONNACK."""


class Connection(aiomqtt.Client):
    """One connection from CONNECT to its end; never used again.

    Args:
        settled: called with packet id and PUBACK's reason code; with 0 for a QoS 0 message once it is written.
        changed: called when the connection is over.
    """

    def __init__(
        self,
        at: Broker,
        *,
        client_id: str,
        will: Message | None,
        version: aiomqtt.ProtocolVersion,
        settled: Callable[[int, int], None],
        changed: Callable[[], None],
        inbox: Inbox | None = None,
    ) -> None:
        super().__init__(
            at.host,
            at.port,
            username=at.username,
            password=at.password,
            tls_context=at.tls,
            logger=_LIBRARY_LOG,
            identifier=client_id,
            protocol=version,
            will=None if will is None else aiomqtt.Will(will.topic, will.payload, will.qos, will.retain),
            timeout=_CONNACK_S,
            keepalive=_KEEPALIVE_S,
            max_inflight_messages=0,  # the window is ours, and paho's would cost a scan of it at each PUBACK
            properties=_TAKES if version is aiomqtt.ProtocolVersion.V5 else None,
            socket_options=[(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)],
        )
        self._at = at
        self.pending_calls_threshold = _WINDOW
        self._client.connect_timeout = _CONNECT_S
        self._corked: CorkedSocket | None = None
        self._settled = settled
        self._changed = changed
        self._inbox = inbox
        self._deaf = False
        self.largest_packet = LARGEST_PACKET
        self.window = _WINDOW
        self.end = "the connection broke"

    @property
    def lost(self) -> bool:
        """Whether the connection is over."""
        return self._disconnected.done() or self._client.socket() is None

    async def open(self) -> None:
        """Connect and wait for the broker's consent; a cancellation waits for the thread in which paho connects."""
        entering = asyncio.ensure_future(self.__aenter__())
        try:
            await asyncio.shield(entering)
        except asyncio.CancelledError:
            if not self._connected.done():
                self._connected.set_exception(aiomqtt.MqttError("stopped"))
            await asyncio.gather(entering, return_exceptions=True)
            raise
        self._disconnected.add_done_callback(lambda _: self._changed())
        if (sock := self._client._sock) is not None:  # noqa: SLF001 - paho has no public way in
            five = self._client.protocol == paho.MQTTv5
            self._corked = CorkedSocket(cast("Any", sock), self._loop, version_5=five, settled=self._settled)
            self._client._sock = cast("Any", self._corked)  # noqa: SLF001
            self._loop.add_reader(sock.fileno(), self._read, self._corked)  # in place of aiomqtt's
            self._read(self._corked)  # what came meanwhile
        self._listen()

    def _read(self, corked: CorkedSocket) -> None:
        """Take what the broker says; a PUBACK, and there are thousands a second, does not go through paho."""
        try:
            while True:
                if corked.hear():
                    self._client.loop_read()
                if self.lost or not corked.pending():
                    return
        except Exception as error:  # noqa: BLE001 - whatever paho makes of it, the connection is over
            if not self._disconnected.done():
                self.end = str(error) if isinstance(error, TooLargeError) else self.end
                self._disconnected.set_exception(error)

    def _listen(self) -> None:
        """Subscribe; with MQTT 5 so that a message keeps its retain flag on its way: 3.1.1 takes it off a live one."""
        if self._inbox is not None and not self.lost:
            how: Any = _AS_PUBLISHED if self._client.protocol == paho.MQTTv5 else 1
            self._client.subscribe([(topic, how) for topic in self._inbox.topics])

    def send(self, message: Message) -> int | None:
        """Send a message; return its packet id, None when the connection is over."""
        if self.lost or self._corked is None:
            return None
        return self._corked.publish(message.topic, message.payload, message.qos, retain=message.retain)

    async def finish(self) -> None:
        """Say DISCONNECT, which revokes the Will."""
        if self._client.disconnect() == paho.MQTT_ERR_SUCCESS:
            await self._disconnected

    def close(self) -> None:
        """Close the socket, whatever state it is in."""
        self._client._sock_close()  # noqa: SLF001 - paho has no public way that does not wait for the peer
        for future in (self._connected, self._disconnected):
            if future.done() and not future.cancelled():
                future.exception()  # seen, or asyncio complains that nobody looked

    def _on_connect(self, *told: Any) -> None:  # client, user data, flags, reason, properties
        properties = told[4] if len(told) > 4 else None
        self.largest_packet = getattr(properties, "MaximumPacketSize", LARGEST_PACKET)
        self.window = min(_WINDOW, getattr(properties, "ReceiveMaximum", _WINDOW))
        super()._on_connect(*told)

    def _on_disconnect(self, *told: Any) -> None:  # client, user data, flags, reason, properties
        if not self._connected.done():  # aiomqtt would wait for its timeout
            early = ClosedEarlyError("the broker closed the connection before it accepted it")
            self._connected.set_exception(aiomqtt.MqttError(alert) if (alert := self._at.take_alert()) else early)
        elif not self._disconnected.done():
            self.end = self._at.take_alert() or str(told[3]).replace("Unspecified error", "the connection broke")
            self._disconnected.set_result(None)
        self._changed()

    def _on_subscribe(self, *told: Any) -> None:  # client, user data, packet id, reasons, properties
        refusal = next((reason for reason in told[3] if reason.is_failure), None)
        deaf, self._deaf = self._deaf, refusal is not None
        if self._deaf:  # as in a cluster that has just lost a server
            self._loop.call_later(_LISTEN_S, self._listen)
        if self._inbox is not None and self._deaf != deaf:
            level, does = (logging.ERROR, "refuses to let") if self._deaf else (logging.INFO, "lets")
            _LOG.log(
                level,
                "MQTT: the broker %s us listen to %s: %s",
                does,
                ", ".join(self._inbox.topics),
                refusal or told[3][0],
            )

    def _on_message(self, *told: Any) -> None:  # client, user data, message
        if self._inbox is not None:
            self._inbox.take(told[2].topic, told[2].payload, bool(told[2].retain))

    def _on_socket_register_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        if self._corked is not None:
            self._loop.call_soon(client.loop_write)  # aiomqtt's way would watch sockets closed meanwhile
        else:  # in the thread in which paho connects
            super()._on_socket_register_write(client, userdata, sock)

    def _on_socket_unregister_write(self, client: paho.Client, userdata: Any, sock: Any) -> None:
        if self._corked is None:  # it takes all that paho writes, and waits for the system by itself
            super()._on_socket_unregister_write(client, userdata, sock)
