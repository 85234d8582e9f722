"""Prompts as strangers write them, in wordings the caption grammar cannot produce: the fairest test of what a model understood.

Knows fifty hand-written sentences and the kind each should sound like. Refuses to know how they are rendered or scored.
"""

from __future__ import annotations

_PROMPTS = (
    ("dog", "a hound yapping at the mailman"),
    ("cat", "my hungry kitten wants her dinner"),
    ("cow", "milk cattle on the pasture going moo"),
    ("sheep", "baa baa, a lamb has lost its mother"),
    ("horse", "cavalry charge, hoofbeats drum across the field"),
    ("wolf", "aroo, the pack answers under a full moon"),
    ("duck", "quack quack from the village pond"),
    ("rooster", "cock-a-doodle-doo, the farm wakes up"),
    ("crow", "caw caw from the scarecrow's shoulder"),
    ("owl", "hoo hoo, something in the barn at midnight"),
    ("bird", "dawn chorus of robins in the garden"),
    ("frog", "swamp at dusk, ribbit ribbit"),
    ("cricket", "summer meadow at night full of tiny insect trills"),
    ("bee", "an angry insect circles my ear"),
    ("rain", "a wet afternoon under the umbrella"),
    ("wind", "the storm whistles round the corners of the house"),
    ("sea", "surf at the seaside, breakers on the shore"),
    ("thunder", "lightning struck, then the sky growls"),
    ("fire", "logs in the hearth snap and spit"),
    ("drip", "the kitchen tap leaks, plink plonk"),
    ("stream", "a mountain rivulet trickles over pebbles"),
    ("leaves", "autumn trees shiver in the breeze"),
    ("hail", "ice pellets hammer the tin shed"),
    ("bell", "sunday morning at the parish, the carillon peals"),
    ("glass", "cheers! a toast with champagne flutes"),
    ("shatter", "somebody dropped a vase and now it is in pieces"),
    ("knock", "knock knock, who's there?"),
    ("footsteps", "somebody strolls down the corridor in hard shoes"),
    ("door", "haunted house, rusty hinges and then a slam"),
    ("hammer", "the village smithy at work on a horseshoe"),
    ("coin", "spare change tumbles out of a purse"),
    ("applause", "standing ovation at the end of the show"),
    ("gong", "a monk hits the great tam-tam"),
    ("keyboard", "somebody writes an angry email at the office"),
    ("woodpecker", "rat-a-tat of a beak against an oak"),
    ("ball", "dribble practice at the gym"),
    ("piano", "ivory keys, a few bars of a nocturne"),
    ("guitar", "strumming round the camp, six nylon strings"),
    ("violin", "stradivari solo with lots of vibrato"),
    ("trumpet", "a bugle call for the soldiers"),
    ("choir", "angelic voices join in a hymn"),
    ("drum kit", "boom tss boom tss, a groove for the dance floor"),
    ("siren", "the cops chase somebody down the avenue"),
    ("phone", "will anyone pick up that call, ring ring"),
    ("heartbeat", "lub-dub inside a nervous chest"),
    ("laser", "pew pew, a starship dogfight"),
    ("helicopter", "whirling rotor blades overhead"),
    ("train", "wagons bang over the sleepers"),
    ("clock", "tick tock goes grandfather's pendulum"),
    ("arcade", "the plumber grabs gold in eight bits"),
)


def foreign_prompts() -> tuple[tuple[str, str], ...]:
    """Fifty pairs (name of a kind, prompt)."""
    return _PROMPTS
