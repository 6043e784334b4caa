"""Translation with an encoder of one language and a decoder of the other, pretrained apart and joined."""
