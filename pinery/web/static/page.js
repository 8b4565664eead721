// Everything that scripts add to the pages, which work without them.

import * as ask from "./ask.js";
import * as edit from "./edit.js";
import * as filters from "./filters.js";
import * as gallery from "./gallery.js";
import * as navigate from "./navigate.js";
import * as tiles from "./tiles.js";
import * as toggles from "./toggles.js";

for (const one of [gallery, tiles, filters, edit, toggles]) navigate.onPage(one.mount);
tiles.start();
ask.start();
navigate.start();
