"""Words that are written with a full stop which ends no sentence, and those where it may.

All languages together, so that nobody has to guess the language for them; left out is what is a word in another
language to end a sentence with. What `sentencex` knows itself need not stand here.
"""

from __future__ import annotations


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


_TITLES = _words("""
    dr prof mr mrs ms messrs lt col sgt capt maj gov pres jr mme mlle mgr fr frl dipl ing dott avv arch geom
    dhr mevr drs ir jhr mw dra sra srta lic arq exmo exma excmo eng dna dl dlui inż hab św ks płk doc mudr judr
    rndr phdr docent özv ifj doç öğr gör av yrd müh ts pgs ths gs bpk hj
    Sen Rep Hon Rev cmdr adm supt insp atty sra sres sras dres profa engª hr hrn dres dott.ssa sig.ra sig.na
    phil jur rer theol vilh chr joh gebr univ.-prof gen por kpt sierż mjr kard śp bp abp mons
    Bc ph paed thdr akad yzb alb tğm kts pgs.ts gs.ts drg drh ust TS TP PGS GS ThS KTS BS
    акад проф доц д-р инж тов ім им чл-кор арх архит ген подп лейт сержант гл зам зав худ реж св свв преп
    госп прот κα κος κκ δρ καθ στρ ταξ υπ αγ οσ αρχ
    डॉ प्रो श्री सुश्री पं कु स्व प्रा न्या ड डा মো ড ডা মি திரு டாக்டர் டா
""")
_PLACES = _words("""
    séc ul al os pl jud jl av avda ave blvd rd bd cad sok mah apt blv str tp kab kec prov pt cía st mt hl şti ltd
    bldg dept pza pça plza urb bulv nám tř út krt u tér bld p.za p.zza c.so
    ул пр просп пл пер наб обл р-н вул бул бульв шос пос дер кв пом корп стр буд бл вх ап ет ж.к көш ауд
    οδ λεωφ πλ
""")
_ADVERBS = _words("""
    ee ca bzw ggf inkl exkl zzgl vgl evtl sog geb gest allg mio mrd insb bijv jfr resp bl
    np tzn tzw tj zob por zwł m.in např tzv srov vb örn krş bkz yakl böl vö ún kb ld esim ks vrt
    mis lih spt dkk tgl cf vs viz approx incl excl esp éd ed eds trad coll env ms mss
    bspw eigtl ehem urspr ugs insbes einschl abzgl usf.u frz engl griech dt österr schweiz
    apr n.chr v.chr d.ä d.j
    напр ср см ок св т.е прибл пор див δηλ βλ πρβλ περ π.χ лат англ нем фр греч рус укр букв прим изд ред сост пер вж
    z.b d.h u.a i.d.r s.o s.u u.u o.ä v.a i.e e.g p.ej p.ex t.ex f.eks bl.a o.a m.a.w d.w.z m.a.o d.v.s t.j i.v.m
    a.d m.m.v z.t z.zt v.u.z i.a i.s т.к т.о и.о т.нар т.зв т.н обр ориг κεφ σημ εκδ
""")
NAME_SUFFIXES = _words("st ave blvd rd sq jr sr ltd co inc corp llc bros al uu")
"""Shortened words of names, which often end a sentence too: they do in front of a common word."""

ABBREVIATIONS = _TITLES | _PLACES | _ADVERBS | NAME_SUFFIXES
"""Words that are shortened also in front of a capital. In small letters they stand for a capital at the beginning too;
with capitals they stand only for themselves, since in small letters they are a word."""

SENTENCE_FINAL = _words("""
    etc usw usf uvm itd itp ecc enz osv jne yms stb dll dsb apod atd aj κ.λπ κλπ κτλ m.m m.fl v.v s.r.o o.o ș.a
    ș.a.m.d т.д т.п т.ч н.э тыс млн млрд руб грн чел u.a.m e.d e.v и.т.н т.н.т ș.cl κ.ά κ.α ff др ін и.др
    т.б т.с.с хил лв
""")
"""Shortened words that often end a sentence: in front of a capital they do."""

BEFORE_NUMBERS = _words("""
    no nos nr nrs n núm num nº n.º n° pp p pg pgs pag pág págs pagg s sid str strona blz bldz hal hlm tr
    o σελ стр с бет ص صص پ س ج فصل شماره رقم पृ क्र नं पृष्ठ
    fig figs abb abs rys obr ábr şek res ill il afb taf tafel pl σχ εικ рис мал фиг сур
    tab tabl tbl табл εκ πίν
    vol vols bd bde t dl deel sv köt c том т кн вып зб
    ch chap chaps cap cpt kap kapit hfst rozdz fej böl bölüm bab гл разд розд κεφ பக்
    sec sect secs § par paras pars abschn absch ziff pkt ust odst písm čl al alin lett inc
    art arts artt art.º čl md ps ст п пп ч чл ал абз част άρθ αρ παρ στοιχ
    eq eqs ex exs def thm lem prop cor gl rov
    ln l ll v vv vers rn rdnr anm fn przyp pozn megj dipnot прим бел σημ
    ref app apdx appx anh anl zał příl ek прил дод lamp
    iss ed éd ausg aufl edn wyd vyd uitg udg vers rev
    op opp kv bwv n.o n.os kat max min approx ca circa cca env aprox omkr okr kb yakl ок прибл бл περ
    st rm apt ste ph tel tél fax mob ext whg hs hausnr str d bâtiment lok m кв д буд корп оф каб тел факс эт эп пом
    jan feb febr mär apr jun jul aug sep sept okt oct nov dec dez janv févr fév avr juil juill déc ene abr
    dic gior giu lug ott fev sty lut kwi cze wrz paź lis gru úno bře dub kvě čer
    oca şub nis ağu eyl eki kas ara янв февр фев апр авг сент сен окт нояб ноя дек січ лют бер квіт трав черв
    лип серп вер жовт лист груд ιαν φεβ μαρ απρ ιουν ιουλ αυγ σεπ οκτ νοε δεκ
    pon wt śr czw pt sob nd mon tue tues wed thu thur thurs fri sat sáb
    hod godz kl klo std тыс млн млрд тис млрд руб грн коп чел mio mrd mld mill milj kr eur usd rs rp
    bzgl lt verg cp cfr v.gl
""")
"""Words that are shortened in front of a number: `No. 5`, `Abb. 3`, `ст. 7`."""

BEFORE_NUMBERS_IN = {
    "de": _words("lit"),
    "es": _words("mar ago set dom"),
    "hu": _words("old"),
    "it": _words("set mag gen"),
    "pl": _words("ok mar maj lip sie"),
    "pt": _words("out set ago mar"),
}
"""The like, where the same word ends sentences in another language."""

REPORTING = (
    r"说|說|道|问|問|喊|叫|答|想|曰|笑|^(?:と|って|という|などと)|라고|하고|^고[ ,]|말했|물었|외쳤|대답|"
    r"कह|पूछ|बोल|चिल्ल|सोच|म्हण|विचार|ओरड|বল|জিজ্ঞ|கேட்|சொன்|கூறி|אמר|שאל|צעק|ענה|ענת|לחש|קרא|"
    r"قال|قالت|سأل|صاح|صرخ|أجاب|همس|گفت|پرسید|فریاد|جواب|پاسخ|کہا|پوچھا|چلا|بولا|بولی|"
    r"አለ|ጠየቀ|ብሎ|ብላ|ሲል|ስትል|ጮኸ|ဟု|လို့|အော်|မေး|ပြော|ថា|សួរ|ว่า|พูด|ถาม|ასე|თქვა|ჰკითხა"
)
"""What shows that a quote was just closed, as a pattern: in scripts without capitals nothing else does."""
