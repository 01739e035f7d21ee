"""The small trained networks that come with c3dvis; README.md here says how they were made."""
