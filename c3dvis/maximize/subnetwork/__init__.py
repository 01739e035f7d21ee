"""The part of a network that an objective reads, and how many clips of it fit in memory."""

from c3dvis.maximize.subnetwork.batch_size import choose_batch_size as choose_batch_size
from c3dvis.maximize.subnetwork.cut import Subnetwork as Subnetwork
