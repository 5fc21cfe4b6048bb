"""Other libraries' time for eta or rescale, and as a multiple of this library's."""

from .common.calls import ready
from .common.data import batch
from .common.peers import PEERS, counterpart, peer
from .common.timing import ratio


class Peers:
    params = (list(PEERS),)
    param_names = ("peer",)
    timeout = 300

    def setup(self, name):
        self.made = batch((16, 150528))
        self.call = peer(name, self.made)
        if self.call is None:
            raise NotImplementedError

    def time_peer(self, name):
        self.call()

    def track_multiple(self, name):
        return ratio(self.call, ready(counterpart(name), self.made), runs=3)

    track_multiple.unit = "times our time"
