"""Files at records (附件): what may be kept, where it lies, who may see it, and how it is fetched."""
