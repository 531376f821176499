// Copyright (c) 2026, Exalt Caching Contributors
// GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
// SPDX-License-Identifier: GPL-3.0-or-later

//go:build tools

package tools

import _ "github.com/docker/compose/v2/cmd"
