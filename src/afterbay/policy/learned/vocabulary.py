"""The words by which people say what they want, in English and Chinese: the table behind `policy.learned.evidence`.

A name, then English words (`+` joins two or three in a row), then Chinese words of one to four characters. Changing a
word changes what the weights that ship mean: train them anew (`make weights`).
"""

from __future__ import annotations

from typing import Final

SIGNS: Final[dict[str, tuple[str, str]]] = {
    "translate": (
        (
            "translate translates translated translating translation translations render traduce traduisez "
            "übersetze how+do+you+say how+would+i+say how+do+i+say say+in into+english into+french into+german "
            "into+spanish into+chinese word+for"
        ),
        "翻译 翻成 翻到 译成 译为 译文 直译 意译 译出 英译 中译 汉译 互译 译中 译英",
    ),
    "language": (
        (
            "english french spanish german italian chinese japanese korean russian arabic portuguese hindi turkish "
            "polish dutch swedish czech latin vietnamese thai finnish greek hebrew romanian ukrainian danish "
            "hungarian mandarin cantonese"
        ),
        (
            "英语 法语 德语 日语 韩语 俄语 中文 英文 日文 韩文 法文 德文 俄文 汉语 粤语 西班牙语 葡萄牙语 阿拉伯语 "
            "意大利语 文言文 外语 白话文"
        ),
    ),
    "summarize": (
        (
            "summarize summarise summary summarization summarizing summaries summarizes tl;dr tldr condense recap "
            "synopsis gist abstract highlights overview key+points key+takeaways main+points main+idea main+message "
            "main+ideas sum+up boil+this short+cards in+short shorten digest essentials"
        ),
        ("总结 概括 摘要 归纳 概述 提炼 浓缩 中心思想 大意 梗概 主要内容 要点 概要 压缩 小结 提要 精简 段意 主旨 汇总"),
    ),
    "title": (
        "title headline",
        "标题 题目 起名 取名 命名",
    ),
    "extract": (
        (
            "extract extracts extracting extraction identify pull+out list+all find+all entities entity keyword "
            "keywords find+the named+entity which+words pick+out recognise recognize"
        ),
        (
            "提取 抽取 识别 找出 实体 关键词 关键字 关键信息 挑出 选出 指出 查找 标出 圈出 主语 谓语 词性 因果 属性 "
            "中的 人名 地名"
        ),
    ),
    "classify": (
        (
            "classify classified classification category categories categorize categorise label labels sentiment "
            "spam tag detect belongs+to belong+to type+of which+of+these+categories same+meaning mean+the+same "
            "group+these sort+these entailment determine decide rate genre positive negative neutral"
        ),
        (
            "分类 归类 类别 分为 分成 情感 极性 正面 负面 标注 属于 类型 判断 分组 积极 消极 中性 标签 哪一类 哪类 "
            "主题 语气 情绪 归入 种类 归为 贬义 褒义 是否"
        ),
    ),
    "schema": (
        "json csv yaml xml table fields columns",
        "表格 结构化 三元组 列表 格式 字段 json",
    ),
    "code": (
        (
            "code function functions script python java javascript typescript c++ c# sql html css api regex regexp "
            "program programs algorithm bash debug class react linux docker git rust golang php ruby kotlin swift "
            "matlab array string integers compile compiler error exception shell json server database query stdin "
            "def"
        ),
        (
            "代码 函数 编程 脚本 正则 算法 程序 报错 数据库 数组 变量 接口 字符串 循环 语法 python java javascript "
            "sql html c++ 编写 爬虫 递归"
        ),
    ),
    "compute": (
        (
            "solve calculate compute prove how+many how+much how+long how+far probability equation evaluate "
            "simplify integral derivative step+by+step in+total each total percent average sum twice remainder "
            "mathematical math area perimeter expression number triangle velocity mass remaining left altogether"
        ),
        (
            "计算 求解 求出 证明 方程 概率 一共 平均 还剩 多少 几个 几天 几米 几本 几元 几只 共有 相距 面积 周长 "
            "推理 剩下 千米 厘米 千克 每小时 多少元 分之 求得 每天 共要 原价 解答 公顷 平方 立方 还要 每人 每箱 "
            "各有 余下 数列 谁大 小时 比例 棵 箱 筐 吨"
        ),
    ),
    "write": (
        (
            "write compose draft craft imagine pretend act+as roleplay role+play create generate design invent "
            "make+up come+up written writing develop"
        ),
        (
            "写一 写出 写首 写篇 写个 写段 写封 写份 写几 撰写 创作 编一 编写 生成 设计 拟一 创建 起草 为题 主题 "
            "制定 制作 构思 编个 编造 想象 写作 请写 帮我写 编辑 写下 以 虚构 假设 扮演 续写 策划"
        ),
    ),
    "genre": (
        (
            "poem poems story stories essay song lyrics joke jokes haiku scene screenplay dialogue email letter "
            "blog post slogan tagline speech caption captions novel recipe limerick sonnet article paragraph "
            "character monologue plot fanfiction outline report advertisement itinerary resume plan fiction rap "
            "chapter prompt anime episode battle"
        ),
        (
            "诗 故事 文章 作文 小说 散文 文案 演讲 邮件 书信 一封 剧本 对白 对话 广告 标语 短文 歌词 笑话 食谱 日记 "
            "诗歌 情书 童话 寓言 脚本 报告 论文 简历 海报 口号 新闻稿 稿 随笔 评论 段落 计划 感言 申请 宣传 描写 "
            "日程 情节 读后感 游记"
        ),
    ),
    "rewrite": (
        (
            "rewrite rephrase paraphrase edit improve proofread polish correct continue reword expand simplify "
            "shorter passive tone formal make+this make+it more+concise sound+more fix+grammar"
        ),
        (
            "改写 重写 改成 改为 润色 修改 扩写 续写 仿写 重新 替换 简化 改正 缩写 同义 句式 转换 改编 修正 更改 "
            "扩展 换成 变成 转化 变为 句子 词语 修饰 语句 通顺 纠正 补全 反义 造句 组成 陈述句 疑问句 感叹句 "
            "表达方式 更加 使其 编成"
        ),
    ),
    "ask": (
        "what what's whats why how who who's when where which whose is are does do did can",
        "什么 为何 为什么 如何 怎么 怎样 哪 谁 吗 能否 呢 何时 哪些 哪个 哪里 哪种 几种 是否 请问",
    ),
    "explain": (
        (
            "explain describe discuss compare define difference differences tell+me+about history definition "
            "meaning effects causes benefits importance reasons impact role"
        ),
        (
            "解释 介绍 描述 说明 阐述 简述 比较 分析 谈谈 看法 讲述 讲讲 评价 区别 意义 原因 影响 含义 特点 观点 "
            "优缺点 理由 优点 作用 定义 概念 对比 讨论 探讨 历史 论述 好处 利弊 由来"
        ),
    ),
    "advise": (
        (
            "list name give+me suggest recommend recommendations tips ideas ways advice examples some+good "
            "pros+and+cons strategies best provide steps"
        ),
        (
            "列出 列举 推荐 建议 方法 技巧 提供 给出 举例 步骤 方案 提出 一些 三个 五个 十个 三种 五种 几个 几种 "
            "四个 两个 两种 六个 十种 四种 例子 举出 措施 窍门 攻略 请给 给我 给一 想出 常见 哪些 清单 策略"
        ),
    ),
    "answer": (
        (
            "answer question questions passage context option options multiple-choice multiple+choice choose "
            "correct true+or+false following+question choices select"
        ),
        "回答 问题 答案 阅读 选择 选项 材料 正确 问答 下方 短文 文中 文章 文本 对错 填空 完成 匹配 根据 上下文",
    ),
    "passage": (
        "article passage text paragraph document following+text conversation sentence news review",
        "文章 段落 文本 新闻 报道 句子 短文 以下文 这段话 下文 材料 上文 故事 原文 对话 评论 内容",
    ),
    "given": (
        "given following below above based+on these",
        "给定 以下 下面 下列 这段 这篇 上文 所给 给出的 基于 针对 对于 将 把 根据 按照 从",
    ),
    "self": (
        "my i i'm i've me mine we our",
        "我 我们 我的",
    ),
    "agent": (
        "you your you're yours",
        "你 您 你们",
    ),
    "service": (
        (
            "account card order refund payment deliver delivery delivered cancel flight subscription charged charge "
            "transfer alarm remind bank balance shipping return reservation appointment timer schedule activate pin "
            "top-up app fee verify cash atm statement phone bill insurance credit"
        ),
        (
            "订单 退款 退货 快递 客服 账户 银行卡 信用卡 取消 预约 提醒我 转账 发货 充值 到账 投诉 会员 余额 快递 "
            "收货 帮我查 帮我订 密码 发票 挂失 积分"
        ),
    ),
    "hello": (
        "hi hey hello thanks thank bye goodbye ok okay haha morning sorry",
        "你好 您好 谢谢 再见 早上好 晚安 哈哈 好的 不用",
    ),
    "please": (
        "please could can+you could+you would+you kindly",
        "请 帮 帮我 麻烦 帮忙",
    ),
    "person": (
        "customer: agent: user: assistant:",
        "客服 客户 顾客 用户 病人 医生",
    ),
}
"""sign -> (English, Chinese)"""
