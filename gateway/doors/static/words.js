// The words of this page in both languages, and which of them are shown: as the reader chose, else as the browser says.
"use strict";
const WORDS = {
  "zh-CN": {
    other: "English", signIn: "登录", signOut: "退出", help: "帮助", email: "邮箱", password: "密码", code: "验证码", newPassword: "新密码（至少 12 位）",
    later: "先看看", signedOut: "未登录", notEnded: "此页面已退出，但会话未能结束：", title: "欢迎使用协同CRM的统一图",
    what: "市场、销售、客户、客服、组织五个部门的数据都在一张图里，一次查询就能取到。您只会看到自己有权看到的内容。",
    first: "登录。演示账号在 make run 的输出里；管理员给的初始密码要在这里换成自己的。",
    second: "选一个标签页里的示例，按 ▶ 运行（Ctrl-Enter）。",
    third: "左上角的书本图标是完整说明：每个类型、字段和参数。",
    SECOND_FACTOR_REQUIRED: "此账号启用了二次验证，请输入验证码。", SECOND_FACTOR_REFUSED: "验证码不对或已用过，请等下一个。",
    PASSWORD_CHANGE_REQUIRED: "现在的密码是别人设的，请设一个自己的新密码。", SIGN_IN_REFUSED: "邮箱或密码不对。",
    SIGN_IN_THROTTLED: "失败次数过多，请稍等再试。", ended: "登录已失效，请重新登录。",
  },
  en: {
    other: "中文", signIn: "Sign in", signOut: "Sign out", help: "Help", email: "Mail", password: "Password", code: "Code",
    newPassword: "New password (12 characters at least)", later: "Look around first", signedOut: "Not signed in", notEnded: "This page is signed out, but the session could not be ended:", title: "Welcome to the graph of Xietong CRM",
    what: "What marketing, sales, customer, support and organization know is one graph here: one operation asks them all. You see only what you may see.",
    first: "Sign in. make run printed a demo login; a password that an administrator gave you is changed for your own here.",
    second: "Choose one of the examples in the tabs and run it with ▶ (Ctrl-Enter).",
    third: "The book at the top left explains every type, field and argument.",
    SECOND_FACTOR_REQUIRED: "This account has a second factor: enter its code too.", SECOND_FACTOR_REFUSED: "The code is wrong or was used before; wait for the next one.",
    PASSWORD_CHANGE_REQUIRED: "Your password was given by somebody else: choose one of your own.", SIGN_IN_REFUSED: "Mail address or password are wrong.",
    SIGN_IN_THROTTLED: "Too many failed sign-ins; wait a little.", ended: "Your session has ended; sign in again.",
  },
};
let language = localStorage.getItem("language") || (navigator.language.startsWith("zh") ? "zh-CN" : "en");

// A word of the page; for a code that has none here, what the server said.
function word(name, otherwise = "") {
  return WORDS[language][name] || otherwise;
}

function say() {
  document.documentElement.lang = language;
  for (const node of document.querySelectorAll("[data-words]")) node.textContent = word(node.dataset.words);
  document.getElementById("language").textContent = word("other");
  document.getElementById("language").lang = language === "en" ? "zh-CN" : "en";
}
