"""Query by committee (Seung, Opper & Sompolinsky 1992); the Monte-Carlo passes are the members.

Vote entropy: entropy over classes of the members' votes (Dagan & Engelson 1995). Consensus divergence:
mean over members of KL(p_m ‖ mean p) (McCallum & Nigam 1998). The mean is over all members with equal
weight, so the number is BALD's by another route; it is listed for those who know it by this name.

Passes are N×M×K; scores in nats, 0 to log min(M, K), higher = label first. Cost and memory N·M·K.
"""

from __future__ import annotations

from aral.acquisition.dispersion import votes
from aral.acquisition.interface import Need, PoolView, Scores, TopScores, as_scores
from aral.acquisition.uncertainty import MC, entropy
from aral.randomness import Stream


def vote_entropy_scores(pool: PoolView, stream: Stream) -> Scores:
    """H[share of votes] in nats: zero when all members vote alike, however unsure each is."""
    return as_scores(entropy(votes(pool.unlabelled.get(Need.MC_PROBABILITIES))))


def consensus_divergence_scores(pool: PoolView, stream: Stream) -> Scores:
    """Mean KL divergence from the consensus in nats; 0·log 0 = 0."""
    passes = pool.unlabelled.get(Need.MC_PROBABILITIES).double()
    consensus = passes.mean(dim=1, keepdim=True)
    # Where the consensus is zero so is every member: the term is zero, and the clamp only avoids 0 · ∞.
    log_consensus = consensus.clamp_min(1e-300).log()
    divergence = (passes.xlogy(passes) - passes * log_consensus).sum(dim=2)
    return as_scores(divergence.mean(dim=1))


COMMITTEE = TopScores("committee", MC, vote_entropy_scores, "entropy of the votes {:.2f} nats".format)
COMMITTEE_DIVERGENCE = TopScores(
    "committee-divergence",
    MC,
    consensus_divergence_scores,
    "members differ from consensus by {:.3f} nats".format,
)
