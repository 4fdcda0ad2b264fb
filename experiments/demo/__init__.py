"""The demo: trained models on images of one's own, in a browser."""
